"""A synthetic study, stored at each PACS, found there by query, and deleted where that can be done.

Only where a person asks for it. The study is that of `node.phantom`, coarse, under UIDs that nobody has ever had, of a
patient whose name and comments say that there is none. DICOM has no way to delete: an Orthanc whose REST interface is
known is told to; any other PACS keeps it, and the finding names it.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from node.core.ailments import Ailment
from node.core.errors import Unavailable
from node.core.findings import Finding, fault, fine, note
from node.core.peer import NothingAccepted, Peer, Stored
from node.core.reasons import Outage
from node.doctor import http, orthanc
from node.doctor.orthanc import Rest
from node.doctor.peers import parties
from node.doctor.visit import Visit

_SPACING_MM = (24.0, 12.0, 12.0)


@dataclass(frozen=True)
class Made:
    """The study: its UID and its files, of which one is a SEG."""

    study_uid: str
    files: tuple[Path, ...]


def look(visit: Visit) -> Iterator[Finding]:
    """Store, query and delete, at each PACS that results go to."""
    if not visit.phantom:
        return
    known = [party.peer for party in parties(visit.settings) if party.destinations]
    folder = Path(tempfile.mkdtemp(prefix="crlm-doctor-"))
    try:
        for number, peer in enumerate(known):
            yield from _sent(peer, make(folder / str(number)), visit)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make(folder: Path) -> Made:
    """Write a study that has never been."""
    from node.phantom import covering_grid, render, standard_anatomy, write_ct, write_seg  # here: numpy and more

    anatomy = standard_anatomy()
    grid = covering_grid(anatomy, spacing_mm=_SPACING_MM)
    rendering = render(anatomy, grid, seed=0, noise_sd_hu=0.0)
    ct = write_ct(
        folder, rendering, grid, anatomy, study_description="crlm-node doctor, delete me", uid_seed=uuid.uuid4().hex
    )
    seg = write_seg(folder / "seg.dcm", rendering, ct)
    return Made(str(dcmread(seg, stop_before_pixels=True).StudyInstanceUID), (*ct, seg))


def _sent(peer: Peer, made: Made, visit: Visit) -> Iterator[Finding]:
    try:
        outcomes = peer.store(made.files)
    except NothingAccepted as error:
        yield fault("phantom.stored", Ailment.PHANTOM_REFUSED, f"{error.detail}.", str(peer))
        return
    except Unavailable:  # why is told of among the peers
        yield note("phantom.stored", f"Nothing was stored at {peer}: there is no association with it.", str(peer))
        return
    stored = [one for one in outcomes if one.error is None]
    finding = _stored(peer, outcomes, stored)
    yield finding
    if not stored:
        return
    yield _found(peer, made, stored)
    yield _deleted(peer, made, visit)


def _stored(peer: Peer, outcomes: Sequence[Stored], stored: Sequence[Stored]) -> Finding:
    """Tell what was taken; that a PACS takes no CT from us is as it may be."""
    refused = [one.error for one in outcomes if one.error is not None]
    failed = [error for error in refused if error.code is not Outage.SOP_CLASS_REFUSED]
    words = f"{len(stored)} of {len(outcomes)} synthetic objects were stored"
    if failed or not stored:
        why = (failed or refused)[0]
        return fault("phantom.stored", Ailment.PHANTOM_REFUSED, f"{words}: {why.detail or why}.", str(peer))
    return fine("phantom.stored", f"{words} at {peer.ae_title}.", str(peer))


def _found(peer: Peer, made: Made, stored: Sequence[Stored]) -> Finding:
    uids = {str(dcmread(one.path, stop_before_pixels=True).SOPInstanceUID) for one in stored}
    try:
        listed = peer.instances_of(made.study_uid)
    except Unavailable as error:
        return fault("phantom.found", Ailment.PHANTOM_LOST, f"They cannot be queried: {error.detail}.", str(peer))
    if missing := uids - listed:
        words = f"{peer.ae_title} confirmed {len(uids)} objects and lists {len(uids) - len(missing)} of them."
        return fault("phantom.found", Ailment.PHANTOM_LOST, words, str(peer))
    return fine("phantom.found", f"A query at {peer.ae_title} lists all {len(uids)} of them.", str(peer))


def _deleted(peer: Peer, made: Made, visit: Visit) -> Finding:
    try:
        if sum(_delete(rest, made.study_uid) for rest in orthanc.rests(visit)):
            return fine("phantom.deleted", f"{peer.ae_title} has deleted them.", str(peer))
        why = "no interface is known that deletes"
    except (OSError, ValueError) as error:
        why = http.said(error) if isinstance(error, OSError) else "its answer cannot be read"
    words = f"The study {made.study_uid} of Phantom^Synthetic stays at {peer.ae_title}: {why}."
    return note("phantom.deleted", words, str(peer), Ailment.PHANTOM_LEFT)


def _delete(rest: Rest, study_uid: str) -> bool:
    """Delete the study that has this UID, which we have made a minute ago; say whether it was there."""
    query = {"Level": "Study", "Query": {"StudyInstanceUID": study_uid}}
    found = rest.ask("POST", "/tools/find", json=query)
    for one in found:
        rest.ask("DELETE", f"/studies/{one}")
    return bool(found)
