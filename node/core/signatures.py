"""Which signatures a study is asked a Rad score of: the manifests below the folder of models, by what their files hold.

Beside the stages: the node names them in each job, and the workers read them whole (`workers.signature.folder`). Comes
in: settings. Goes out: `AskedSignature`, whose SHA-256 is part of the job key. What can go wrong: a manifest that is
asked is not there, or none (`Unavailable`: signature-unreadable); at the start that is a fault of the settings.
"""

import json
from pathlib import Path

from node.core.errors import Unavailable
from node.core.reasons import Outage
from node.core.records import AskedSignature
from node.core.settings import Settings, SettingsError
from node.core.spool import digest

FOLDER, NAME = "signatures", "manifest.json"


def installed(models: Path) -> tuple[str, ...]:
    """Return the signatures that have a manifest below the folder of models, in order."""
    return tuple(sorted(path.parent.name for path in (models / FOLDER).glob(f"*/{NAME}")))


def asked(settings: Settings) -> tuple[AskedSignature, ...]:
    """Return the signatures that the site asks: those that it names, or all that are installed.

    Raises
    ------
    Unavailable
        `signature-unreadable`: the manifest of one is not there, or is none.
    """
    ids = installed(settings.models) if settings.signatures is None else settings.signatures
    return tuple(_asked(settings.models, id_) for id_ in ids)


def require(settings: Settings) -> None:
    """Require every signature that the site asks, before the first study comes.

    Raises
    ------
    SettingsError
        One cannot be read; the message names it.
    """
    try:
        asked(settings)
    except Unavailable as error:
        raise SettingsError(f"signatures: {error.detail}") from error


def content_of(models: Path, id_: str) -> bytes:
    """Return the manifest of a signature as its file has it.

    Raises
    ------
    Unavailable
        `signature-unreadable`: it is not there.
    """
    path = models / FOLDER / id_ / NAME
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(Outage.SIGNATURE_UNREADABLE, f"{id_}: {path}: {error.strerror}") from error


def _asked(models: Path, id_: str) -> AskedSignature:
    content = content_of(models, id_)
    try:
        manifest = json.loads(content)
        named = manifest["id"], isinstance(manifest["digest"], str)
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(Outage.SIGNATURE_UNREADABLE, f"{id_}: its manifest is no JSON with id and digest") from error
    if named != (id_, True):
        raise Unavailable(Outage.SIGNATURE_UNREADABLE, f"{id_}: its manifest is of {named[0]}")
    return AskedSignature(id_, digest(content))
