"""The DICOM Conformance Statement of this site (PS3.2), as Markdown: what the node says and accepts with its settings.

In: the settings. Out: the page that `crlm-node conformance` prints. What it states of the listener comes from the list
that the listener itself is made of (`node.contexts`), and a test proposes every context to a running one.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    RLELossless,
)
from pynetdicom import DEFAULT_TRANSFER_SYNTAXES
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from node import __version__, contexts
from node.association import GREETING_TIMEOUT_S
from node.core.codes import PRIVATE_SCHEME
from node.core.dicom import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, RETURNING_CLASSES
from node.core.errors import ANSWERS
from node.core.kinds import Kind, in_place_of
from node.core.peer import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S
from node.core.reasons import DoorRefusal, Outage
from node.core.settings import PacsDestination, Settings, WebDestination
from node.transfer import MAXIMUM_PDU_BYTES

_FALLBACKS = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_OURS = {"seg-labelmap": (RLELossless,)}
_HEAD = (
    "Printed by `crlm-node conformance` from the settings of this site: another site accepts and sends something else. "
    "Research software, not a medical device."
)
_AT_THE_DOOR = (*DoorRefusal, Outage.SPOOL_FAILED, Outage.LEDGER_FAILED)


def statement(settings: Settings, on: date) -> str:
    """Return the statement of a node with these settings."""
    parts = (_overview, _model, _initiation, _acceptance, _network, _profiles, _character_sets, _security, _content)
    head = [
        f"# DICOM Conformance Statement: crlm-node {__version__}",
        "",
        f"AE title `{settings.ae_title}`, {on:%Y-%m-%d}. In the order of DICOM PS3.2. {_HEAD}",
        "",
    ]
    return "\n".join([*head, *(line for part in parts for line in part(settings))]).rstrip("\n") + "\n"


def _overview(settings: Settings) -> Iterator[str]:
    yield "## 1 Overview\n"
    yield (
        "The node takes in CT studies by C-STORE, measures those of the abdomen, and stores the results in the same "
        "study of one or more archives: segmentations, structured reports, and where the site asks, images.\n"
    )
    yield from _table("SOP class|UID|as SCU|as SCP", _services(settings))


def _services(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    accepted = {UID(str(one.abstract_syntax)) for one in contexts.supported(reports=False)}
    sent = set(_sent(settings))
    asked: dict[UID, bool] = {
        Verification: True,
        StorageCommitmentPushModel: contexts.wants_reports(settings),
        StudyRootQueryRetrieveInformationModelFind: bool(settings.archives or _pacs(settings)),
        StudyRootQueryRetrieveInformationModelMove: bool(settings.archives),
        ModalityWorklistInformationFind: settings.worklist is not None,
    }
    for uid in sorted({*accepted, *sent, *asked}, key=lambda uid: uid.name):
        as_scu = uid in sent or asked.get(uid, False)
        if as_scu or uid in accepted:
            yield uid.name, f"`{uid}`", _yes(as_scu), _yes(uid in accepted)


def _model(settings: Settings) -> Iterator[str]:
    yield "## 2 Implementation model\n"
    reports = " and reports of storage commitment" if contexts.wants_reports(settings) else ""
    yield (
        f"One application entity, `{settings.ae_title}`, in several processes. The listener accepts C-ECHO and C-STORE"
        f"{reports}; it answers a C-STORE with success only when the instance and its record are on disk. The steward "
        "asks archives for counts and past heights, and the worklist for heights. The worker of deliveries stores "
        "results and proves that they are there. `crlm-node backfill` asks an archive to move past studies here.\n"
    )
    yield from _table(
        "implementation|value",
        [
            ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
            ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION_NAME}`"),
            ("Application Context", "`1.2.840.10008.3.1.1.1`"),
            ("Maximum PDU received and announced", f"{MAXIMUM_PDU_BYTES} bytes"),
            ("Associations accepted at once", f"{settings.max_associations} in each listener"),
            ("Associations opened at once", "one for each destination and worker, archive, or worklist"),
            ("Asynchronous operations window", "not offered: one operation at a time"),
        ],
    )


def _initiation(settings: Settings) -> Iterator[str]:
    yield "## 3 Association initiation\n"
    for one in _pacs(settings):
        yield f"### Deliver to {one.name} (`{one.ae_title}` at {one.host}:{one.port})\n"
        yield from _table("SOP class|UID|transfer syntaxes|role", _proposed(one))
        yield (
            "C-STORE of each object; 0000 is success, Bxxx a warning that is kept, 0111, 0122, 0124, Axxx and Cxxx "
            f"failures with their cure in `crlm-node status`. {_proof(one)}\n"
        )
    for archive in settings.archives:
        yield f"### Ask {archive.ae_title} (at {archive.host}:{archive.port})\n"
        yield from _table(
            "SOP class|UID|transfer syntaxes|role",
            [
                _row(uid, DEFAULT_TRANSFER_SYNTAXES, "SCU")
                for uid in (StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelMove)
            ],
        )
        yield "C-FIND at the levels STUDY, SERIES and IMAGE; C-MOVE with our AE title as the destination.\n"
    if settings.worklist:
        yield f"### Ask the worklist {settings.worklist.ae_title}\n"
        rows = [_row(ModalityWorklistInformationFind, DEFAULT_TRANSFER_SYNTAXES, "SCU")]
        yield from _table("SOP class|UID|transfer syntaxes|role", rows)
    if not (_pacs(settings) or settings.archives or settings.worklist):
        yield "None with these settings.\n"


def _proposed(destination: PacsDestination) -> Iterator[tuple[str, ...]]:
    for kind in _kinds(destination):
        yield _row(kind.sop_class_uid, (*_OURS.get(kind, ()), *(() if kind in _OURS else _FALLBACKS)), "SCU")
    if destination.reject_superseded:
        yield _row(KeyObjectSelectionDocumentStorage, _FALLBACKS, "SCU")
    if destination.commitment:
        yield _row(StorageCommitmentPushModel, DEFAULT_TRANSFER_SYNTAXES, "SCU")
    yield _row(StudyRootQueryRetrieveInformationModelFind, DEFAULT_TRANSFER_SYNTAXES, "SCU")


def _proof(destination: PacsDestination) -> str:
    find = "a C-FIND that lists its SOP Instance UID"
    if not destination.commitment:
        return f"An object counts as delivered after {find}."
    return (
        "An object counts as delivered after storage commitment (push model): N-ACTION, and an N-EVENT-REPORT on the "
        f"same association or on one that the archive opens, within {destination.commitment_wait_s:g} s; else after "
        f"{find}."
    )


def _acceptance(settings: Settings) -> Iterator[str]:
    yield "## 4 Association acceptance\n"
    yield "The called AE title must be ours. Who may call:\n"
    callers = [
        (f"`{one.ae_title}`", ", ".join(str(host) for host in one.hosts) or "any address") for one in settings.calling
    ]
    yield from _table("calling AE title|from", callers or [("nobody", "")])
    yield (
        "Everybody else is rejected: permanent, by the service user, *calling AE title not recognised* (3), or where "
        "the called one is not ours, *called AE title not recognised* (7).\n"
    )
    yield "### Presentation contexts that are accepted\n"
    rows = [_accepted(one) for one in contexts.supported(reports=contexts.wants_reports(settings))]
    yield from _table("SOP class|UID|transfer syntaxes|role", rows)
    yield (
        "Of the transfer syntaxes that a context proposes, the one that stands first above is accepted. Extended "
        "negotiation: role selection for storage commitment alone. Results of our own that come back are answered with "
        f"success and not kept; others of {', '.join(uid.name for uid in RETURNING_CLASSES)} get 0122.\n"
    )
    yield "### What a C-STORE is answered\n"
    answers = [(f"{ANSWERS[code].status:04X}", f"`{code}`", code.sentence) for code in _AT_THE_DOOR]
    yield from _table("status|reason|meaning", [("0000", "", "The instance and its record are on disk."), *answers])


def _network(settings: Settings) -> Iterator[str]:
    yield "## 5 Network interfaces\n"
    yield from _table(
        "setting|value",
        [
            ("Listener", f"{settings.host}:{settings.port}{', TLS' if settings.tls else ''}"),
            ("Waiting for an association request", f"{GREETING_TIMEOUT_S:g} s"),
            ("An association that is silent is closed after", f"{settings.association_idle_s:g} s"),
            ("Connecting to a peer", f"{CONNECT_TIMEOUT_S:g} s"),
            ("Waiting for a peer's answer", f"{ANSWER_TIMEOUT_S:g} s"),
        ],
    )
    web = [one for one in settings.destinations if isinstance(one, WebDestination)]
    if web:
        yield "DICOMweb, as a user agent: Store (STOW-RS) and Search for Instances (QIDO-RS) at\n"
        yield from (f"- {one.name}: {one.url}" for one in web)
        yield ""


def _profiles(_: Settings) -> Iterator[str]:
    yield "## 6 Media interchange\n\nNone.\n"


def _character_sets(_: Settings) -> Iterator[str]:
    yield (
        "## 7 Character sets\n\nThose of PS3.3 section C.12.1.1.2 are read, with code extensions too; objects that we "
        "make are in ISO_IR 192.\n"
    )


def _security(settings: Settings) -> Iterator[str]:
    yield "## 8 Security\n"
    profile = "the BCP 195 profile of PS3.15 section B.12, client certificates required" if settings.tls else "plain"
    yield (
        f"Listener: {profile}. Towards others: TLS where the settings of the peer name it. The audit trail has the "
        "codes and, by `crlm-node audit --xml`, the message form of PS3.15 section A.5.\n"
    )


def _content(_: Settings) -> Iterator[str]:
    yield "## 9 Information objects and codes\n"
    yield (
        "Results keep Study Instance UID, Frame of Reference UID, patient and study attributes of the images; their "
        "own UIDs are 2.25 and a hash of all that they were made from. SR: TID 1500 with TID 1411, 1410 and 1501. SEG: "
        "BINARY, or a label map. Private attributes, SOP classes and transfer syntaxes: none. Private codes: scheme "
        f"`{PRIVATE_SCHEME}`, in docs/private-codes.md.\n"
    )


def _pacs(settings: Settings) -> list[PacsDestination]:
    return [one for one in settings.destinations if isinstance(one, PacsDestination)]


def _kinds(destination: PacsDestination) -> list[Kind]:
    """Return what may be sent there, each SOP class once, what goes in place of a refused object too."""
    kinds: dict[UID, Kind] = {}
    for kind in destination.objects:
        for one in (kind, *(in_place_of(kind) if destination.substitutes else ())):
            kinds.setdefault(one.sop_class_uid, one)
    return list(kinds.values())


def _sent(settings: Settings) -> Iterator[UID]:
    for one in _pacs(settings):
        yield from (kind.sop_class_uid for kind in _kinds(one))
        if one.reject_superseded:
            yield KeyObjectSelectionDocumentStorage


def _accepted(context: PresentationContext) -> tuple[str, ...]:
    role = "SCU, by role selection" if context.scp_role else "SCP"
    return _row(UID(context.abstract_syntax or ""), context.transfer_syntax, role)


def _row(uid: UID, transfer_syntaxes: Iterable[str], role: str) -> tuple[str, ...]:
    return uid.name, f"`{uid}`", "<br>".join(f"`{one}` {UID(one).name}" for one in transfer_syntaxes), role


def _table(head: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    names = head.split("|")
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _yes(true: bool) -> str:
    return "yes" if true else "-"
