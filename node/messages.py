"""The page of all coded messages: what each means, what the node does by itself, and what a person can do.

Made from the closed lists of reasons; `crlm-node config reference messages` prints it. The cure of what a sender or an
outage causes is that of `node.core.errors`; what a study or a number lacks has its cure here.
"""

from collections.abc import Iterable, Iterator, Mapping

from node.core.errors import ANSWERS, Verdict
from node.core.ledger.audit import Rejection
from node.core.reasons import Coded, DoorRefusal, Flag, NotComputed, NoteCode, Outage, RegionRefusal, StudyRefusal
from node.core.tls import TlsFault

_HEAD = """# Messages and cures

Every code that a result, `crlm-node status`, the page or the audit trail can show. A code that is not here cannot be
said. This page is written by `crlm-node config reference messages`.
"""
_DOES: Mapping[Verdict, str] = {
    Verdict.NOT_TAKEN: "refuses it",
    Verdict.NOT_ANALYSABLE: "closes the study and reports why",
    Verdict.RETRY: "tries again",
    Verdict.QUARANTINE: "sets the study aside",
}
CURES: Mapping[Coded, str] = {
    StudyRefusal.NO_SUITABLE_SERIES: "`crlm-node series DIR` says why each series was left out; send the axial series.",
    StudyRefusal.SEGMENTATION_UNAVAILABLE: "Set `networks = true`, or allow the sender of the SEG under `[imports]`.",
    StudyRefusal.WEIGHTS_MISSING: "`crlm-node models fetch`, then `crlm-node replay STUDY`.",
    StudyRefusal.DEMO_MODEL_REFUSED: "Install TotalSegmentator's weights: `crlm-node models fetch`.",
    StudyRefusal.TOO_FEW_SLICES: "Send the whole series; `measurement.minimum_slices` is the bar.",
    StudyRefusal.DUPLICATE_POSITIONS: "Have the scanner write each acquisition as a series of its own.",
    StudyRefusal.UNEVEN_SPACING: "Send the missing slices; the study is then measured again by itself.",
    StudyRefusal.MIXED_ORIENTATION: "Send a series of parallel slices of one size.",
    StudyRefusal.MIXED_FRAME_OF_REFERENCE: "Send the series as the scanner made it, not merged.",
    StudyRefusal.GANTRY_TILT: '`measurement.gantry_tilt = "measure"` measures tilted series.',
    StudyRefusal.TRANSFER_SYNTAX_UNSUPPORTED: "Have the archive send uncompressed: docs/transfer-syntaxes.md.",
    StudyRefusal.PIXELS_UNREADABLE: "Look at the slice in a viewer; send it again.",
    StudyRefusal.PATIENT_CONFLICT: "Correct the patient in the PACS and send the study again.",
    StudyRefusal.INPUT_INCOMPLETE: "Send the study again; see who deletes in the spool.",
    StudyRefusal.INPUT_UNTRUSTED: "`crlm-node quarantine show STUDY`; look before you release.",
    NotComputed.NOT_BUILT: "None in this version.",
    NotComputed.NOT_REQUESTED: "Switch it on in the settings, then replay the study.",
    NotComputed.NOT_AVAILABLE: "Install the part that the note names.",
    NotComputed.HEIGHT_MISSING: "Enter it on the page of the study, or in the site's form: docs/patient-facts.md.",
    NotComputed.HEIGHT_IMPLAUSIBLE: "Look at every source of the height, and enter the right one.",
    NotComputed.STRUCTURE_NOT_FOUND: "Look at the segmentation in the viewer.",
    NotComputed.STRUCTURE_TRUNCATED: "None: the scan ends too early.",
    NotComputed.STRUCTURE_IMPLAUSIBLE: "Look at the segmentation; docs/plausibility.md has the bounds.",
    NotComputed.CORE_TOO_SMALL: "Look at L1: fracture, cement, or too thick slices.",
    NotComputed.LEVEL_NOT_COVERED: "None: the level is not in the scan.",
    NotComputed.LESION_NONE: "None is needed, unless a lesion is seen: then look at the segmentation.",
    NotComputed.INPUT_LOSSY: "Have the images sent without lossy compression.",
    NotComputed.OUT_OF_SCOPE: "`crlm-node signature show ID` says what it requires.",
    NotComputed.ROI_MISMATCH: "`crlm-node signature show ID` says which region it was made from.",
    NotComputed.SIGNATURE_INCOMPLETE: "None here: its authors did not publish them.",
    NotComputed.FEATURE_FAILED: "See the worker's log for the job.",
    RegionRefusal.PARAMETERS_INVALID: "Take out what is named, or use `--engine pyradiomics`.",
    RegionRefusal.LIST_INVALID: "Mend the line or column that is named.",
    RegionRefusal.IMAGE_UNREADABLE: "See whether ITK reads both: NIfTI, NRRD, a folder of one CT series, a SEG.",
    RegionRefusal.MASK_MISMATCH: "Draw on this image, or set `correctMask`.",
    RegionRefusal.MASK_EMPTY: "Name another with `--label` or `--segment`.",
    RegionRefusal.REGION_OUTSIDE: "Draw inside of the image.",
    RegionRefusal.REGION_TOO_SMALL: "Look at the mask; `minimumROISize` and `minimumROIDimensions` are the bars.",
    RegionRefusal.REGION_TOO_LARGE: "Look at the mask; `most_voxels` of the network is the bar.",
    RegionRefusal.NETWORK_MISSING: "Put its folder below `models_dir`: docs/deep-features.md.",
    RegionRefusal.NETWORK_UNTRUSTED: "Get the network again from who made it.",
    RegionRefusal.ENGINE_MISSING: "Leave out `--engine pyradiomics`, or install it: deploy/setup/radiomics.sh.",
    RegionRefusal.ENGINE_REFUSED: "Its own words follow; the engine `fast` may still measure it.",
    Rejection.CALLER_UNKNOWN: "Enter it under `[[calling]]`, or take our address out of that machine.",
    Rejection.HOST_NOT_ALLOWED: "Add the address to `hosts` of that caller, if it is its own.",
    Rejection.CALLED_UNKNOWN: "Have the caller call us by the `ae_title` of the settings.",
}


def messages_page() -> str:
    """Return the page."""
    parts = (
        _part("Why a study has no numbers", StudyRefusal),
        _part("Why a number is not computed", NotComputed),
        _plain("What stands beside a number", NoteCode),
        _plain("What a person should look at", Flag),
        _part("What is away, and comes back", Outage),
        _part("Why an instance was not taken", DoorRefusal),
        _cured("Why a region has no radiomic features", RegionRefusal),
        _cured("Why a caller was not let in", Rejection),
        _plain("Why a TLS handshake failed (cures: docs/security.md)", TlsFault),
    )
    return "\n".join([_HEAD, *(line for part in parts for line in part)]).rstrip("\n")


def _part(title: str, codes: Iterable[Coded]) -> Iterator[str]:
    yield f"## {title}\n\n| code | means | the node | you |\n|---|---|---|---|"
    for code in codes:
        answer = ANSWERS.get(code)
        own = "" if answer is None or answer.operator == code.sentence else answer.operator
        does = _DOES[answer.verdict] if answer else "says so in the report"
        yield f"| `{code}` | {code.sentence} | {does} | {CURES.get(code, own)} |"
    yield ""


def _cured(title: str, codes: Iterable[Coded]) -> Iterator[str]:
    yield f"## {title}\n\n| code | means | you |\n|---|---|---|"
    yield from (f"| `{code}` | {code.sentence} | {CURES[code]} |" for code in codes)
    yield ""


def _plain(title: str, codes: Iterable[Coded]) -> Iterator[str]:
    yield f"## {title}\n\n| code | means |\n|---|---|"
    yield from (f"| `{code}` | {code.sentence} |" for code in codes)
    yield ""
