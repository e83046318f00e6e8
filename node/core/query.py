"""Asking an archive what it has (C-FIND) and having it send that (C-MOVE): PS3.4 annex C, Study Root.

Comes in: an association, keys to match, an AE title that the archive sends to. Goes out: the answers; what became of
the sub-operations of a move. What can go wrong: a failure status, which is no empty answer; an association that is
lost; an archive that falls silent. One that fetches from tape takes long before it says a word, so a move has a limit
of its own for each answer; every pending answer begins it anew. Who is next: `node.core.peer`, which opens the
association.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import Literal

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from node.core.dimse import CANCELLED, PENDING, SUCCESS, lost, meaning, unsuccessful
from node.core.errors import Unavailable
from node.core.reasons import Outage

MOVE_SILENCE_S = 600.0
CANCEL_PATIENCE_S = 30.0

_FIND = StudyRootQueryRetrieveInformationModelFind
_MOVE = StudyRootQueryRetrieveInformationModelMove
_LOOK_S = 0.05
_MESSAGE = 1
_COMPLETE_WITH_FAILURES = 0xB000  # PS3.4 table C.4-2

Level = Literal["STUDY", "SERIES", "IMAGE"]


@dataclass(frozen=True)
class Moved:
    """How a C-MOVE stands, or has ended (PS3.4 section C.4.2.1).

    Parameters
    ----------
    status
        What was answered last; None where no end was answered.
    remaining, completed, failed, warned
        Sub-operations, as the archive counts them; an archive that counts nothing says 0.
    failed_uids
        SOP Instance UIDs that it names as not sent; it need not name them.
    silent
        Whether no end was answered because the archive said nothing for too long; else it ended the association.
    """

    status: int | None
    remaining: int = 0
    completed: int = 0
    failed: int = 0
    warned: int = 0
    failed_uids: tuple[str, ...] = ()
    silent: bool = False

    @property
    def total(self) -> int:
        """How many sub-operations there are, as far as the archive has said."""
        return self.remaining + self.completed + self.failed + self.warned

    @property
    def fault(self) -> str:
        """What went wrong, in words; empty for a success without a failed sub-operation."""
        if self.status is None:
            how = "fell silent" if self.silent else "ended the association"
            return f"the archive {how} before C-MOVE was answered"
        if self.status == SUCCESS and not self.failed:
            return ""
        counts = f" ({self.failed} of {self.total} failed)" if self.failed else ""
        shown = self.status or _COMPLETE_WITH_FAILURES
        return f"C-MOVE answered {self.status:04X}, {meaning('C-MOVE', shown)}{counts}"


def contexts(*, moving: bool) -> list[PresentationContext]:
    """Return the presentation contexts for queries, and for moves as well."""
    return [build_context(_FIND), *([build_context(_MOVE)] if moving else [])]


@dataclass(frozen=True)
class Inquiry:
    """An association with an archive, in which it is asked and moves."""

    assoc: Association

    def find(self, level: Level, keys: Mapping[str, str]) -> list[Dataset]:
        """Query (C-FIND, PS3.4 section C.4.1).

        Parameters
        ----------
        level
            What one answer stands for.
        keys
            Attribute keywords with the value to match, or "" to have it returned.

        Raises
        ------
        Unavailable
            `destination-unreachable`, `destination-refused`: no answer, or none with success; `TooMuch` where less
            may be answered.
        """
        answers: list[Dataset] = []
        for status, identifier in self.assoc.send_c_find(_identifier(level, keys), self._accepted(_FIND, "C-FIND")):
            code = status.get("Status")
            if code in PENDING and identifier is not None:
                answers.append(identifier)
            elif code != SUCCESS:
                raise unsuccessful("C-FIND", status)
        return answers

    def instances_of(self, study_uid: str, series_uids: Iterable[str] | None = None) -> set[str]:
        """Return the SOP Instance UIDs in a study, series by series; in some of its series, if named."""
        if series_uids is None:
            answers = self.find("SERIES", {"StudyInstanceUID": study_uid, "SeriesInstanceUID": ""})
            series_uids = [str(series.get("SeriesInstanceUID", "")) for series in answers]
        found: set[str] = set()
        for series_uid in series_uids:
            keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid, "SOPInstanceUID": ""}
            found.update(str(image.get("SOPInstanceUID", "")) for image in self.find("IMAGE", keys))
        return found

    def move(
        self,
        level: Level,
        keys: Mapping[str, str],
        destination: str,
        *,
        on_progress: Callable[[Moved], None] | None = None,
        stop: Event | None = None,
    ) -> Moved:
        """Have objects sent to an application entity (C-MOVE, PS3.4 section C.4.2).

        Parameters
        ----------
        level, keys
            What to send: the unique keys of this level and of those above it.
        destination
            AE title that the archive sends to; it has to know its host and port.
        on_progress
            Is told of each pending answer.
        stop
            Once it is set, the move is cancelled (C-CANCEL); what is on its way then still comes.

        Returns
        -------
        Moved
            A failure status and silence among them: some objects may have come all the same.

        Raises
        ------
        Unavailable
            `destination-refused`: it does not offer C-MOVE. `destination-unreachable`: the association is lost before
            anything was asked.
        """
        if not self.assoc.is_established:
            raise lost("C-MOVE")
        model = self._accepted(_MOVE, "C-MOVE")
        responses = self.assoc.send_c_move(_identifier(level, keys), destination, model, msg_id=_MESSAGE)
        moved, wait = Moved(None), _Wait(self.assoc, stop)
        while wait.answered():
            status, identifier = next(responses)
            if "Status" not in status:
                return replace(moved, status=None)
            moved = _moved(status, identifier, moved)
            if moved.status not in PENDING:
                return moved
            if on_progress is not None:
                on_progress(moved)
        if self.assoc.is_established:
            self.assoc.abort()
        return replace(moved, status=None, silent=True)

    def _accepted(self, model: str, service: str) -> str:
        """Return a model that the archive has accepted."""
        if not any(context.abstract_syntax == model for context in self.assoc.accepted_contexts):
            raise Unavailable(Outage.DESTINATION_REFUSED, f"it does not offer {service} of the Study Root model")
        return model


class _Wait:
    """Waits for the answers to a move, each at most for the limit; cancels it, once, when told to stop."""

    def __init__(self, assoc: Association, stop: Event | None) -> None:
        self._assoc = assoc
        self._stop = stop or Event()
        self._cancelled = False

    def answered(self) -> bool:
        """Say whether something has come: an answer, or the end of the association."""
        come = self._assoc.dimse.msg_queue
        begun = time.monotonic()
        while come.empty():
            limit_s = CANCEL_PATIENCE_S if self._cancelled else MOVE_SILENCE_S
            if time.monotonic() - begun > limit_s:
                return False
            if self._cancelled:
                time.sleep(_LOOK_S)
            elif self._stop.wait(_LOOK_S):
                self._assoc.send_c_cancel(_MESSAGE, query_model=_MOVE)
                self._cancelled, begun = True, time.monotonic()
        return True


def _identifier(level: Level, keys: Mapping[str, str]) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


def _moved(status: Dataset, identifier: Dataset | None, before: Moved) -> Moved:
    """Read an answer; a count that it leaves out is the one before, and nothing remains at the end."""
    code = int(status.Status)
    ended = code not in (*PENDING, CANCELLED)

    def count(name: str, else_: int) -> int:
        value = status.get(f"NumberOf{name}Suboperations")
        return else_ if value is None else int(value)

    return Moved(
        status=code,
        remaining=count("Remaining", 0 if ended else before.remaining),
        completed=count("Completed", before.completed),
        failed=count("Failed", before.failed),
        warned=count("Warning", before.warned),
        failed_uids=tuple(_failed(identifier)) if identifier is not None else (),
    )


def _failed(identifier: Dataset) -> Iterator[str]:
    """Yield what the archive names as not sent: Failed SOP Instance UID List (0008,0058), one or many."""
    named = identifier.get("FailedSOPInstanceUIDList") or []
    yield from [named] if isinstance(named, str) else map(str, named)
