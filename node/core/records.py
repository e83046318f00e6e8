"""What crosses the stages on the node's side and in `spool/work`: frozen, free of arrays, valid once built.

Everything here can be written as JSON by `dump` and read back by `parse`; the job key is computed here, because
both the ledger and the workers name a job by it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from node.core.errors import Untrusted
from node.core.reasons import NotComputed, NoteCode, StudyRefusal
from node.core.settings import ImportRules, MeasurementSettings, ReportSettings

Record = TypeVar("Record")
_LATER = ("untreated_tumour", "indication")  # clinical facts that older keys do not have
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}  # making one costs milliseconds


@dataclass(frozen=True)
class Instance:
    """One stored DICOM instance.

    Parameters
    ----------
    sop_instance_uid, sop_class_uid, transfer_syntax_uid
        Of the stored file.
    digest
        SHA-256 of the file's bytes, hexadecimal.
    path
        Relative to the spool, or absolute where a command measures a folder.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    path: str


@dataclass(frozen=True)
class Candidate:
    """A series that may be measured, or a part of one that is a volume by itself, with the reason of its rank.

    Parameters
    ----------
    part
        Which part of the series (`acquisition 2`); empty where it is all of it.
    phase
        Phase of contrast as it was ranked by (`portal-venous`, `unknown`); empty where nobody looked.
    """

    series_instance_uid: str
    description: str
    why: str
    instances: tuple[Instance, ...]
    part: str = ""
    phase: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A series that will not be measured, and why."""

    series_instance_uid: str
    modality: str
    description: str
    why: str


class HeightSource(StrEnum):
    """Where the patient's height came from."""

    SERIES = "patient-size-of-series"
    STUDY = "patient-size-of-other-series"
    ARCHIVE = "patient-size-in-archive"
    WORKLIST = "patient-size-in-worklist"
    OPERATOR = "entered-by-operator"


class RasStatus(StrEnum):
    """What is known of RAS mutations in the tumour; MUTANT where nobody says in which gene."""

    WILD_TYPE = "wild-type"
    MUTANT = "mutant"
    KRAS_MUTANT = "kras-mutant"
    NRAS_MUTANT = "nras-mutant"


class Indication(StrEnum):
    """What a CT was taken before."""

    RESECTION = "liver-resection"
    ABLATION = "thermal-ablation"
    SYSTEMIC_THERAPY = "systemic-therapy"


@dataclass(frozen=True)
class ClinicalFacts:
    """Facts that no CT holds, as the site has entered them; None where it has not.

    Parameters
    ----------
    node_positive_primary
        Whether lymph nodes of the primary tumour held metastases.
    disease_free_interval_months
        From the primary tumour to the liver metastases; 0 where they were found together.
    cea_ng_ml
        Carcinoembryonic antigen in serum before treatment.
    extrahepatic_disease
        Whether there are metastases outside of the liver.
    untreated_tumour
        Whether there is a metastasis in the liver that was neither resected nor ablated before the CT.
    indication
        What the CT was taken before.
    """

    node_positive_primary: bool | None = None
    disease_free_interval_months: float | None = None
    cea_ng_ml: float | None = None
    ras: RasStatus | None = None
    extrahepatic_disease: bool | None = None
    untreated_tumour: bool | None = None
    indication: Indication | None = None


@dataclass(frozen=True)
class EnteredFacts:
    """What a person has entered on the page about a patient; None where nothing was."""

    height_m: float | None = None
    clinical: ClinicalFacts = ClinicalFacts()


@dataclass(frozen=True)
class PatientFacts:
    """Facts about the patient that measurements need.

    `height_m` is None where no height can be used; `height_reason` then says why. `clinical` is None where the site has
    entered nothing: the key of the job is then that of a site that enters nothing at all.
    """

    height_m: float | None
    height_source: HeightSource | None
    height_reason: NotComputed | None
    weight_kg: float | None
    sex: str
    clinical: ClinicalFacts | None = None

    @property
    def height_resolution_m(self) -> float | None:
        """Half of the last place to which the height is written: 0.005 m of whole centimetres, less of a finer one."""
        if self.height_m is None:
            return None
        places = len(f"{self.height_m:.4f}".rstrip("0").partition(".")[2])
        return 0.5 / 10.0 ** max(places, 2)


@dataclass(frozen=True)
class EarlyRefusal:
    """Why a study was refused before a series of it was read."""

    code: StudyRefusal
    detail: str


@dataclass(frozen=True)
class Document:
    """An SR that was delivered, by the UIDs that another document names it by."""

    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Superseded:
    """The delivered result that a new one takes the place of.

    Parameters
    ----------
    job
        Key of the job that made it.
    requested_at
        When that was asked for, which is the date of its objects.
    revision
        Its number among the delivered results of the study, from 1.
    documents
        Its SR that reached a destination; none where only its SEG did.
    """

    job: str
    requested_at: datetime
    revision: int
    documents: tuple[Document, ...]


@dataclass(frozen=True)
class AskedSignature:
    """A signature that a study is asked a Rad score of: its id, and the SHA-256 of its manifest's file."""

    id: str
    sha256: str


@dataclass(frozen=True)
class JobRequest:
    """All that a worker is told about one analysis; stored in the ledger, never in the broker.

    `candidates` are ranked, best first. `segmentations` are SEG instances that the site's rules allow to import.
    A study that has no candidate carries its `refusal`, which a worker only has to report.

    `forced` says why the study was taken as complete without evidence; empty where there was evidence.

    `after` is the key of an earlier job, where a study's content has become again what it was before that one: the
    same content is then another job, whose objects have UIDs of their own. `supersedes` is filled in when the report
    is due; the key does not depend on it.

    `report` is how the result speaks; where that is as by default, the key is that of a request without it.

    `signatures` are asked in their order. Where there are some the key depends on them, and on the phase of contrast
    that each candidate was ranked by, which a site's rules decide.
    """

    study_instance_uid: str
    requested_at: datetime
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    segmentations: tuple[Instance, ...]
    facts: PatientFacts
    imports: ImportRules
    measurement: MeasurementSettings
    engine: str
    version: str
    refusal: EarlyRefusal | None = None
    forced: str = ""
    after: str = ""
    supersedes: Superseded | None = None
    report: ReportSettings = field(default_factory=ReportSettings)
    signatures: tuple[AskedSignature, ...] = ()

    @property
    def revision(self) -> int:
        """Number of this result among those of the study that were delivered, from 1."""
        return self.supersedes.revision + 1 if self.supersedes else 1

    @property
    def notes(self) -> "tuple[Note, ...]":
        """What every number of the result carries, computed or not."""
        return (Note(NoteCode.FORCED_COMPLETION, self.forced),) if self.forced else ()

    @cached_property
    def key(self) -> str:
        """Digest of everything that a result depends on: 32 hexadecimal digits."""
        content: dict[str, Any] = {
            "study": self.study_instance_uid,
            "series": [
                [candidate.series_instance_uid, _contents(candidate.instances)] for candidate in self.candidates
            ],
            "segmentations": _contents(self.segmentations),
            "facts": _known(self.facts),
            "labels": _plain(self.imports)["labels"],
            "measurement": _plain(self.measurement),
            "engine": self.engine,
            "version": self.version,
            "refusal": self.refusal.code if self.refusal else None,
            **({"forced": self.forced} if self.forced else {}),
            **({"after": self.after} if self.after else {}),
            **({"report": _plain(self.report)} if self.report != ReportSettings() else {}),
            **(self._scored_by() if self.signatures else {}),
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def _scored_by(self) -> dict[str, Any]:
        return {
            "signatures": [[one.id, one.sha256] for one in self.signatures],
            "phases": [candidate.phase for candidate in self.candidates],
        }


class Status(StrEnum):
    """Whether a number is there."""

    COMPUTED = "computed"
    NOT_COMPUTED = "not-computed"


@dataclass(frozen=True)
class Note:
    """A remark beside a number: a code, and a sentence with the figures of this case."""

    code: NoteCode
    text: str


@dataclass(frozen=True)
class Context:
    """A published value to read a number beside; no verdict.

    Parameters
    ----------
    text
        The value, as a reader sees it.
    source
        The publication.
    population
        Whom it was found in.
    protocol
        How it was measured there.
    outside
        What of this study is not as there, in words; empty where nothing is known to differ.
    """

    text: str
    source: str
    population: str
    protocol: str
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One number, or the reason why it is missing.

    `value` is in the unit of `node.core.codes.MEASUREMENTS`; `interval` is printed only where it was measured. What
    is not computed has no context.
    """

    value: float | str | None
    status: Status
    reason: NotComputed | StudyRefusal | None = None
    interval: tuple[float, float] | None = None
    notes: tuple[Note, ...] = ()
    context: tuple[Context, ...] = ()

    def __post_init__(self) -> None:
        if (self.value is None) == (self.status is Status.COMPUTED) or (self.value is None) != bool(self.reason):
            raise ValueError("a measurement has either a value or a reason")

    @property
    def is_cut(self) -> bool:
        """Whether the edge of the scan cuts what was measured: a number that grows is then a lower bound."""
        return any(note.code in (NoteCode.NEARLY_COMPLETE, NoteCode.TRUNCATED) for note in self.notes)


def computed(value: float | str, *notes: Note) -> Measurement:
    """Return a number with its notes."""
    return Measurement(value, Status.COMPUTED, notes=notes)


def not_computed(reason: NotComputed | StudyRefusal, *notes: Note) -> Measurement:
    """Return the absence of a number, with its reason."""
    return Measurement(None, Status.NOT_COMPUTED, reason, notes=notes)


def dump(record: Any) -> str:
    """Write a record of this module as JSON."""
    return _adapter(type(record)).dump_json(record, indent=1).decode()


def parse(kind: type[Record], text: str | bytes) -> Record:
    """Read a record back.

    Raises
    ------
    Untrusted
        The text is not such a record: the stored file was changed or cut.
    """
    try:
        record: Record = _adapter(kind).validate_json(text)
    except ValidationError as error:
        raise Untrusted(
            StudyRefusal.INPUT_UNTRUSTED, f"stored {kind.__name__}: {error.error_count()} faults"
        ) from error
    return record


def _contents(instances: tuple[Instance, ...]) -> list[tuple[str, str]]:
    return sorted((instance.sop_instance_uid, instance.digest) for instance in instances)


def _known(facts: PatientFacts) -> Mapping[str, Any]:
    """Return what the key depends on: what came later and is not known is left out, so that older keys stay."""
    known = {name: value for name, value in _plain(facts).items() if name != "clinical" or value is not None}
    if facts.clinical is not None:
        clinical = known["clinical"].items()
        known["clinical"] = {name: value for name, value in clinical if name not in _LATER or value is not None}
    return known


def _plain(record: Any) -> Mapping[str, Any]:
    plain: Mapping[str, Any] = _adapter(type(record)).dump_python(record, mode="json")
    return plain


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
