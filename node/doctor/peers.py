"""The PACS, archives and worklist of the settings: reached, associated with, asked what they take of what we need.

Each is reached by TCP first, which tells our own address as it sees it; then by C-ECHO; then by one association that
offers everything and sends nothing. What can go wrong has a code for each of the ways in which it goes wrong.
"""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom.uid import UID
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from node.core.ailments import Ailment
from node.core.errors import Unavailable
from node.core.findings import Finding, fault, fine, note, warning
from node.core.kinds import Kind, in_place_of
from node.core.peer import Peer, Rejected
from node.core.reasons import Outage
from node.core.settings import Archive, CallerTls, PacsDestination, Settings, Worklist
from node.doctor.visit import ANSWER_S, CONNECT_S, Visit, own_address

_BY_USER, _CALLING_UNKNOWN, _CALLED_UNKNOWN = 1, 3, 7  # PS3.8 table 9-21
_COMMIT, _FIND = StorageCommitmentPushModel, StudyRootQueryRetrieveInformationModelFind
_MOVE, _WORKLIST = StudyRootQueryRetrieveInformationModelMove, ModalityWorklistInformationFind
_NAMES = {
    Kind.SEG.sop_class_uid: "SEG",
    Kind.SEG_LABELMAP.sop_class_uid: "label map SEG",
    Kind.SR.sop_class_uid: "SR",
    Kind.SUMMARY.sop_class_uid: "Secondary Capture (Summary)",
    _COMMIT: "storage commitment",
    _FIND: "C-FIND of studies",
    _MOVE: "C-MOVE of studies",
    _WORKLIST: "C-FIND of the worklist",
}


@dataclass
class Party:
    """An application entity, and all that the settings want of it; `setting` is where they name it first."""

    peer: Peer
    setting: str
    destinations: list[PacsDestination] = field(default_factory=list)
    archives: list[Archive] = field(default_factory=list)
    worklist: bool = False


def parties(config: Settings) -> list[Party]:
    """Return every application entity of the settings, each once."""
    found: dict[tuple[str, str, int, CallerTls | None], Party] = {}

    def party(one: PacsDestination | Archive | Worklist, setting: str) -> Party:
        key = (one.ae_title, one.host, one.port, one.tls)
        peer = Peer(*key[:3], config.ae_title, one.tls, CONNECT_S, ANSWER_S)
        return found.setdefault(key, Party(peer, setting))

    for destination in config.destinations:
        if isinstance(destination, PacsDestination):
            party(destination, f"destinations ({destination.name})").destinations.append(destination)
    for archive in config.archives:
        party(archive, "archives").archives.append(archive)
    if config.worklist is not None:
        party(config.worklist, "worklist").worklist = True
    return list(found.values())


def look(visit: Visit) -> Iterator[Finding]:
    """Look at each of them; what does not answer is not asked further."""
    known = parties(visit.settings)
    if not known:
        yield note("peer.echo", "The settings name no PACS to send to or to ask.")
    for party in known:
        answered, finding = _echo(party, visit.settings)
        yield finding
        if answered:
            yield from _contexts(party, visit.settings)


def _echo(party: Party, config: Settings) -> tuple[bool, Finding]:
    """Reach it and verify that it answers."""
    peer = party.peer
    facts = {"setting": party.setting, "host": peer.host, "port": peer.port}
    try:
        ours = own_address(peer.host, peer.port)
    except OSError as error:
        return False, _unreached(party, error)
    try:
        begun = time.monotonic()
        peer.echo()
    except Rejected as error:
        return False, _rejected(party, error, ours, config)
    except Unavailable as error:
        words = f"{peer} takes connections, but C-ECHO fails: {_said(error, peer)}."
        if peer.tls:
            return False, fault("peer.echo", Ailment.PEER_TLS, words, str(peer), **facts)
        silent = error.code is Outage.DESTINATION_UNREACHABLE
        ailment = Ailment.NOT_DICOM if silent else Ailment.ECHO_REFUSED
        return False, fault("peer.echo", ailment, words, str(peer), **facts)
    took_ms = (time.monotonic() - begun) * 1000
    words = f"{peer} answers C-ECHO in {took_ms:.0f} ms; we come as {config.ae_title} from {ours}."
    return True, fine("peer.echo", words, str(peer))


def _unreached(party: Party, error: OSError) -> Finding:
    peer = party.peer
    facts = {"setting": party.setting, "host": peer.host, "port": peer.port}
    if isinstance(error, socket.gaierror):
        words = f"The name {peer.host} of {peer.ae_title} is not known here."
        return fault("peer.echo", Ailment.HOST_UNKNOWN, words, str(peer), **facts)
    if isinstance(error, ConnectionRefusedError):
        words = f"Nobody listens at {peer.host}, port {peer.port}: {peer.ae_title} cannot be reached."
        return fault("peer.echo", Ailment.PORT_CLOSED, words, str(peer), **facts)
    said = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
    words = f"{peer} cannot be reached: {said} within {CONNECT_S:g} s."
    return fault("peer.echo", Ailment.HOST_SILENT, words, str(peer), ours=_route(peer.host), **facts)


def _rejected(party: Party, error: Rejected, ours: str, config: Settings) -> Finding:
    """Say which of the two AE titles it does not like."""
    peer, who = party.peer, {"ae_title": config.ae_title, "ours": ours, "port": config.port}
    if (error.source, error.reason) == (_BY_USER, _CALLED_UNKNOWN):
        words = f"Who answers at {peer.host}, port {peer.port}, is not called {peer.ae_title}."
        return fault("peer.echo", Ailment.CALLED_UNKNOWN, words, str(peer), setting=party.setting)
    if (error.source, error.reason) == (_BY_USER, _CALLING_UNKNOWN):
        words = f"{peer} does not let {config.ae_title} in from {ours}: it knows it not, or at another host."
        return fault("peer.echo", Ailment.CALLING_UNKNOWN, words, str(peer), **who)
    return fault("peer.echo", Ailment.ECHO_REFUSED, f"{peer} refuses: {_said(error, peer)}.", str(peer))


def _said(error: Unavailable, peer: Peer) -> str:
    return error.detail.removeprefix(f"{peer}: ").rstrip(".")


def _route(host: str) -> str:
    """Return the address of this machine from which a host would be called; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "this machine"


def _contexts(party: Party, config: Settings) -> Iterator[Finding]:
    """Offer everything that may be wanted, and compare what is taken with what is."""
    peer = party.peer
    try:
        taken = peer.accepted(_NAMES)
    except Unavailable as error:
        yield fault("peer.contexts", Ailment.ECHO_REFUSED, f"{peer}: {_said(error, peer)}.", str(peer))
        return
    words = ", ".join(name for uid, name in _NAMES.items() if uid in taken) or "nothing"
    yield fine("peer.contexts", f"{peer.ae_title} takes: {words}.", str(peer))
    for destination in party.destinations:
        yield from _objects(destination, taken, config)
        yield from _commitment(destination, taken, config)
    wanted = {_FIND: bool(party.destinations) or bool(party.archives), _WORKLIST: party.worklist}
    wanted[_MOVE] = bool(party.archives)
    if refused := [_NAMES[uid] for uid, is_wanted in wanted.items() if is_wanted and uid not in taken]:
        what = "no delivery is proven without" if party.destinations else "the settings ask it for that"
        words = f"{peer.ae_title} does not take {' and '.join(refused)}: {what}."
        facts = {"names": " and ".join(refused), "ae_title": config.ae_title}
        yield fault("peer.queries", Ailment.QUERY_REFUSED, words, str(peer), **facts)


def _objects(destination: PacsDestination, taken: set[str], config: Settings) -> Iterator[Finding]:
    """Tell of kinds of objects that do not go there, or go in another form."""
    refused = [kind for kind in destination.objects if kind.sop_class_uid not in taken]
    for instead in (True, False):
        kinds = [kind for kind in refused if _has_substitute(kind, destination, taken) is instead]
        if not kinds:
            continue
        names = " and ".join(dict.fromkeys(_NAMES[UID(kind.sop_class_uid)] for kind in kinds))
        facts = {"names": names, "ae_title": config.ae_title}
        if instead:
            words = f"{destination.ae_title} refuses {names}; another form of {', '.join(kinds)} goes there."
            yield warning("peer.objects", Ailment.CONTEXT_REPLACED, words, destination.name, **facts)
            continue
        words = f"{destination.ae_title} refuses {names}: {', '.join(kinds)} cannot go there in any form."
        facts |= {"kinds": ", ".join(kinds), "setting": f"destinations ({destination.name})"}
        yield fault("peer.objects", Ailment.CONTEXT_REFUSED, words, destination.name, **facts)


def _has_substitute(kind: Kind, destination: PacsDestination, taken: set[str]) -> bool:
    return destination.substitutes and any(one.sop_class_uid in taken for one in in_place_of(kind))


def _commitment(destination: PacsDestination, taken: set[str], config: Settings) -> Iterator[Finding]:
    if not destination.commitment:
        return
    if _COMMIT not in taken:
        words = f"{destination.ae_title} does not offer storage commitment, and destinations ({destination.name}) asks."
        yield warning("peer.commitment", Ailment.COMMITMENT_REFUSED, words, destination.name, ae_title=config.ae_title)
    elif destination.ae_title.strip() not in {one.ae_title.strip() for one in config.calling}:
        words = f"{destination.ae_title} may not call us, so that its reports of storage commitment are rejected."
        facts = {"caller": destination.ae_title}
        yield warning("peer.commitment", Ailment.COMMITMENT_UNHEARD, words, destination.name, **facts)
