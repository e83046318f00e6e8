"""Signatures as files: models/signatures/ID/manifest.json, each with the digest of its own content.

Comes in: a folder. Goes out: `Signature`, or a manifest written. What can go wrong: `input-untrusted` for a manifest
that cannot be read or is not what its digest says; an absent one is an `OSError`. Next: `score`.
"""

import json
import os
from pathlib import Path

from pydantic import ValidationError

from node.core.errors import Untrusted
from node.core.reasons import StudyRefusal
from workers.signature.manifest import Signature

FOLDER = "signatures"
NAME = "manifest.json"
DIGEST = "digest"


def ids(models: Path) -> tuple[str, ...]:
    """Return the signatures that have a manifest below the folder of models, in order."""
    return tuple(sorted(path.parent.name for path in (models / FOLDER).glob(f"*/{NAME}")))


def read(models: Path, id_: str) -> Signature:
    """Read a signature and compare it with its digest.

    Raises
    ------
    Untrusted
        `input-untrusted`: the manifest is not in the form of one, or not what its digest says.
    """
    path = models / FOLDER / id_ / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = content.pop(DIGEST)
        signature = Signature.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise _untrusted(id_, f"{where}: {first['msg']}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _untrusted(id_, "it cannot be read as JSON with a digest") from error
    if signature.id != id_:
        raise _untrusted(id_, f"it is of {signature.id}")
    if signature.digest != digest:
        raise _untrusted(id_, "it is not what its digest says")
    return signature


def write(models: Path, signature: Signature) -> Path:
    """Write a signature with its digest below the folder of models, in one move; return the file."""
    folder = models / FOLDER / signature.id
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f".{NAME}.{os.getpid()}"
    whole.write_text(text(signature), encoding="utf-8")
    return whole.replace(folder / NAME)


def text(signature: Signature) -> str:
    """Return a manifest as it is written."""
    content = {**signature.model_dump(mode="json"), DIGEST: signature.digest}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _untrusted(id_: str, what: str) -> Untrusted:
    return Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"manifest of the signature {id_}: {what}")
