"""Errors: four kinds, four answers, one table.

`Refused` tells the sender, `NotAnalysable` is final and visible to the radiologist (`NotExtractable` the same for one
region), `Unavailable` is tried again, `Untrusted` stops and keeps the evidence. `ANSWERS` maps every code to the DIMSE
status, the job verdict and the sentence for the operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from node.core.reasons import Coded, DoorRefusal, Outage, RegionRefusal, StudyRefusal


class NodeError(Exception):
    """An expected failure with a code of a closed list.

    Parameters
    ----------
    code
        The code; its sentence is the first thing that a person reads.
    detail
        What was seen, without patient data.
    """

    def __init__(self, code: Coded, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code.sentence} ({detail})" if detail else code.sentence)


class Refused(NodeError):
    """The sender is told no, by a DIMSE status."""

    code: DoorRefusal

    def __init__(self, code: DoorRefusal, detail: str = "") -> None:
        super().__init__(code, detail)


class NotAnalysable(NodeError):
    """The study cannot be measured; final, and reported."""

    code: StudyRefusal

    def __init__(self, code: StudyRefusal, detail: str = "") -> None:
        super().__init__(code, detail)


class NotExtractable(NodeError):
    """A region has no radiomic features; final for the region, and the study goes on."""

    code: RegionRefusal

    def __init__(self, code: RegionRefusal, detail: str = "") -> None:
        super().__init__(code, detail)


class Unavailable(NodeError):
    """Something that the work needs is away; it is tried again."""

    code: Outage

    def __init__(self, code: Outage, detail: str = "") -> None:
        super().__init__(code, detail)


class Untrusted(NodeError):
    """Inputs contradict each other or were changed; stop and keep the evidence."""

    code: StudyRefusal

    def __init__(self, code: StudyRefusal, detail: str = "") -> None:
        super().__init__(code, detail)


class Verdict(StrEnum):
    """What becomes of the work that met an error."""

    NOT_TAKEN = "not-taken"
    NOT_ANALYSABLE = "not-analysable"
    RETRY = "retry"
    QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Answer:
    """The answer to one code: DIMSE status (PS3.4 Table B.2-1), verdict, sentence for the operator."""

    status: int
    verdict: Verdict
    operator: str


_CANNOT_UNDERSTAND, _MISMATCH, _NO_RESOURCES = 0xC000, 0xA900, 0xA700

ANSWERS: Mapping[Coded, Answer] = {
    DoorRefusal.DATASET_UNREADABLE: Answer(_CANNOT_UNDERSTAND, Verdict.NOT_TAKEN, "Ask the sender to check the file."),
    DoorRefusal.DATASET_TRUNCATED: Answer(_CANNOT_UNDERSTAND, Verdict.NOT_TAKEN, "Ask the sender to send it again."),
    DoorRefusal.UID_INVALID: Answer(_CANNOT_UNDERSTAND, Verdict.NOT_TAKEN, "The sender writes invalid UIDs."),
    DoorRefusal.UID_MISMATCH: Answer(_MISMATCH, Verdict.NOT_TAKEN, "The sender's request and data set differ."),
    DoorRefusal.SOP_CLASS_UNSUPPORTED: Answer(0x0122, Verdict.NOT_TAKEN, "Route only CT images and SEG here."),
    DoorRefusal.OUT_OF_RESOURCES: Answer(_NO_RESOURCES, Verdict.NOT_TAKEN, "Free space in the spool."),
    Outage.BROKER_UNREACHABLE: Answer(_NO_RESOURCES, Verdict.RETRY, "Start Redis or correct broker_url."),
    Outage.DESTINATION_UNREACHABLE: Answer(_NO_RESOURCES, Verdict.RETRY, "Check the destination's address."),
    Outage.DESTINATION_REFUSED: Answer(_NO_RESOURCES, Verdict.RETRY, "See the status that the destination answered."),
    Outage.SOP_CLASS_REFUSED: Answer(
        _NO_RESOURCES, Verdict.NOT_TAKEN, "Have the destination take the SOP class, then replay the study."
    ),
    Outage.DESTINATION_LOST: Answer(_NO_RESOURCES, Verdict.RETRY, "The destination accepts objects and drops them."),
    Outage.COMMITMENT_REFUSED: Answer(_NO_RESOURCES, Verdict.RETRY, "See the destination's log for the object."),
    Outage.SPOOL_FAILED: Answer(_NO_RESOURCES, Verdict.RETRY, "Check the disk and the rights of the spool."),
    Outage.LEDGER_FAILED: Answer(_NO_RESOURCES, Verdict.RETRY, "Check ledger_url and the database."),
    Outage.STEWARD_FAILED: Answer(
        _NO_RESOURCES, Verdict.QUARANTINE, "See the steward's log, report the fault, then send the study again."
    ),
    Outage.ENGINE_TIMEOUT: Answer(_NO_RESOURCES, Verdict.RETRY, "Raise engine_time_limit_s, or give it a GPU."),
    Outage.ENGINE_MEMORY: Answer(_NO_RESOURCES, Verdict.RETRY, "Raise engine_memory_limit_mb, or give it more."),
    Outage.ENGINE_LOST: Answer(_NO_RESOURCES, Verdict.RETRY, "See the engine's log beside the worker's."),
    Outage.DEVICE_MISSING: Answer(_NO_RESOURCES, Verdict.RETRY, "Check the GPU and its driver, or set device = cpu."),
    Outage.ALERT_FAILED: Answer(_NO_RESOURCES, Verdict.RETRY, "Check the webhook and the mail server in alerts."),
    Outage.SIGNATURE_UNREADABLE: Answer(
        _NO_RESOURCES,
        Verdict.RETRY,
        "Mend its manifest below models_dir, or correct signatures; then replay the study.",
    ),
    Outage.WORKER_FAILED: Answer(_NO_RESOURCES, Verdict.RETRY, "See the worker's log for the job."),
    Outage.WORKER_LOST: Answer(_NO_RESOURCES, Verdict.RETRY, "See whether the worker was killed or ran out of memory."),
    **{
        code: Answer(_CANNOT_UNDERSTAND, Verdict.NOT_ANALYSABLE, code.sentence)
        for code in StudyRefusal
        if code not in (StudyRefusal.PATIENT_CONFLICT, StudyRefusal.INPUT_UNTRUSTED)
    },
    **{code: Answer(_CANNOT_UNDERSTAND, Verdict.NOT_ANALYSABLE, code.sentence) for code in RegionRefusal},
    StudyRefusal.PATIENT_CONFLICT: Answer(
        _CANNOT_UNDERSTAND, Verdict.QUARANTINE, "Correct the patients in the PACS and send the study again."
    ),
    StudyRefusal.INPUT_UNTRUSTED: Answer(
        _CANNOT_UNDERSTAND,
        Verdict.QUARANTINE,
        "Look at the evidence in the spool before you release the study.",
    ),
}
