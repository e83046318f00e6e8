"""Networks as files: models/deep/ID/network.json and weights.safetensors, each known by its digest.

Comes in: the folder of models, an id. Goes out: `Network`, proven. What can go wrong: `network-missing` for what is not
there, `network-untrusted` for what is not what its digest says. Next: `embedding`.

Weights are arrays by name, readable without running anything: the file is hashed, then read from the same bytes.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.deep.description import Description

FOLDER = "deep"
NAME = "network.json"
WEIGHTS = "weights.safetensors"
DIGEST = "digest"
_KINDS = (np.float16, np.float32)


@dataclass(frozen=True)
class Network:
    """A network with its weights."""

    description: Description
    arrays: Mapping[str, NDArray[np.float64]]


def ids(models: Path) -> tuple[str, ...]:
    """Return the networks that are installed below the folder of models, in order."""
    return tuple(sorted(path.parent.name for path in (models / FOLDER).glob(f"*/{NAME}")))


def read(models: Path, id_: str, digest: str | None = None) -> Network:
    """Read a network; with a digest, only if it is the one of this digest.

    Raises
    ------
    NotExtractable
        `network-missing`, `network-untrusted`.
    """
    if id_ not in (there := ids(models)):
        raise NotExtractable(
            RegionRefusal.NETWORK_MISSING,
            f"no {FOLDER}/{id_} in the folder of models; there are: {', '.join(there) or 'none'}",
        )
    folder = models / FOLDER / id_
    description = _described(folder)
    if digest is not None and description.digest != digest:
        raise _untrusted(id_, f"its digest is {description.digest[:12]}, and {digest[:12]} is asked for")
    return Network(description, _arrays(folder / WEIGHTS, description))


def _described(folder: Path) -> Description:
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        digest = content.pop(DIGEST)
        found = Description.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _untrusted(folder.name, f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _untrusted(folder.name, f"{NAME} cannot be read as JSON with a digest") from error
    if found.id != folder.name:
        raise _untrusted(folder.name, f"it is of {found.id}")
    if found.digest != digest:
        raise _untrusted(folder.name, f"{NAME} is not what its digest says")
    return found


def _arrays(path: Path, description: Description) -> dict[str, NDArray[np.float64]]:
    """Return the weights as they are computed with; nothing is read of a file of another size."""
    try:
        content = path.read_bytes() if path.stat().st_size == description.weights.bytes else b""
    except FileNotFoundError as error:
        raise NotExtractable(RegionRefusal.NETWORK_MISSING, f"{description.id}: no {WEIGHTS}") from error
    if hashlib.sha256(content).hexdigest() != description.weights.sha256:
        raise _untrusted(description.id, f"{WEIGHTS} is not what its digest says")
    try:
        found = load(content)
    except SafetensorError as error:
        raise _untrusted(description.id, f"{WEIGHTS}: {error}") from error
    if {name: array.shape for name, array in found.items()} != description.shapes:
        raise _untrusted(description.id, f"{WEIGHTS} has not the arrays of its architecture")
    if not all(array.dtype in _KINDS and np.isfinite(array).all() for array in found.values()):
        raise _untrusted(description.id, f"{WEIGHTS} has other values than finite ones of 16 or 32 bits")
    return {name: array.astype(np.float64) for name, array in found.items()}


def write(models: Path, description: Description, weights: bytes) -> Path:
    """Write a network below the folder of models, the description last and in one move; return its folder."""
    folder = models / FOLDER / description.id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    content: dict[str, Any] = {**description.model_dump(mode="json"), DIGEST: description.digest}
    whole = folder / f".{NAME}.{os.getpid()}"
    whole.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    whole.replace(folder / NAME)
    return folder


def _untrusted(id_: str, what: str) -> NotExtractable:
    return NotExtractable(RegionRefusal.NETWORK_UNTRUSTED, f"{id_}: {what}")
