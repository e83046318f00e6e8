"""Signatures as files: models/signatures/ID/manifest.json, each with the digest of its own content.

Comes in: a folder. Goes out: `Signature`, or a manifest written. What can go wrong: `input-untrusted` for a manifest
that cannot be read or is not what its digest says; an absent one is an `OSError`. Next: `score`.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from node.core import signatures
from node.core.errors import Unavailable, Untrusted
from node.core.reasons import Outage, StudyRefusal
from node.core.records import AskedSignature
from node.core.signatures import FOLDER, NAME
from node.core.spool import digest
from workers.signature.manifest import Signature

DIGEST = "digest"


def asked(models: Path, signatures_: Iterable[AskedSignature]) -> tuple[Signature, ...]:
    """Read the signatures that a job asks, each as it was when the job was made.

    Raises
    ------
    Unavailable
        `signature-unreadable`: one is not there, is another one than then, or is not to be trusted.
    """
    found = []
    for one in signatures_:
        content = signatures.content_of(models, one.id)
        if digest(content) != one.sha256:
            raise Unavailable(Outage.SIGNATURE_UNREADABLE, f"{one.id}: its manifest is not that of the job")
        try:
            found.append(parse(one.id, content))
        except Untrusted as error:
            raise Unavailable(Outage.SIGNATURE_UNREADABLE, error.detail) from error
    return tuple(found)


def read(models: Path, id_: str) -> Signature:
    """Read a signature and compare it with its digest.

    Raises
    ------
    Untrusted
        `input-untrusted`: the manifest is not in the form of one, or not what its digest says.
    """
    return parse(id_, (models / FOLDER / id_ / NAME).read_bytes())


def parse(id_: str, manifest: bytes) -> Signature:
    """Return the signature of a manifest's file, compared with its digest.

    Raises
    ------
    Untrusted
        As `read`.
    """
    try:
        content = json.loads(manifest)
        stated = content.pop(DIGEST)
        signature = Signature.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise _untrusted(id_, f"{where}: {first['msg']}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _untrusted(id_, "it cannot be read as JSON with a digest") from error
    if signature.id != id_:
        raise _untrusted(id_, f"it is of {signature.id}")
    if signature.digest != stated:
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
