"""Questions of the steward to others (C-FIND), asked so that nobody waits long for an answer.

Comes in: an archive or a worklist as the site configured it, and a question. Goes out: the answers. What can go wrong
(`Unavailable`): it cannot be reached, refuses, or takes longer than the limits below. It is then left alone for a
pause that doubles each time, and who asks meanwhile is told at once that it is away; the log says once when that
begins and once when it ends. Used by: `node.counts` and `node.heights`.

The limits hold up the steward, and with it every other study: so long at most, and then for a growing time not again.
"""

import time
from collections.abc import Iterator, Mapping

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    ModalityWorklistInformationFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from node.core import log
from node.core.errors import Unavailable
from node.core.peer import Peer
from node.core.query import Level
from node.core.reasons import Outage
from node.core.settings import Archive, Settings, Worklist

_log = log.get("inquiry")

CONNECT_S = 3.0
ANSWER_S = 5.0  # each answer
QUESTION_S = 10.0  # all answers to one question
MOST_ANSWERS = 10_000  # the slices of a large series; more is no answer to what we asked
_SUCCESS = 0x0000
_PENDING = (0xFF00, 0xFF01)


class Respondent:
    """One archive or worklist that is asked, and whether it has answered lately.

    Parameters
    ----------
    place
        Where it is.
    settings
        Our AE title, and the pauses between attempts.
    """

    def __init__(self, place: Archive | Worklist, settings: Settings) -> None:
        self.name = place.ae_title.strip()
        self._peer = Peer(
            place.ae_title,
            place.host,
            place.port,
            settings.ae_title,
            place.tls,
            connect_timeout_s=CONNECT_S,
            answer_timeout_s=ANSWER_S,
        )
        self._first_s, self._longest_s = settings.retry_base_s, settings.retry_longest_s
        self._failures = 0
        self._not_before = time.monotonic()

    def find(self, level: Level, keys: Mapping[str, str]) -> list[Dataset]:
        """Query the Study Root model (PS3.4 section C.6.2).

        Raises
        ------
        Unavailable
            No answer, or none with success, or it is being left alone.
        """
        query = _data_set({"QueryRetrieveLevel": level, **keys})
        return self._ask(query, StudyRootQueryRetrieveInformationModelFind)

    def find_scheduled(self, keys: Mapping[str, str]) -> list[Dataset]:
        """Query the modality worklist (PS3.4 annex K), for every step and station.

        Raises
        ------
        Unavailable
            As `find`.
        """
        query = _data_set(keys)
        step = (
            "ScheduledStationAETitle",
            "ScheduledProcedureStepStartDate",
            "ScheduledProcedureStepStartTime",
            "Modality",
        )
        query.ScheduledProcedureStepSequence = [_data_set(dict.fromkeys(step, ""))]
        return self._ask(query, ModalityWorklistInformationFind)

    def _ask(self, query: Dataset, model: UID) -> list[Dataset]:
        if time.monotonic() < self._not_before:
            raise Unavailable(Outage.DESTINATION_UNREACHABLE, f"{self.name} did not answer and is left alone")
        try:
            answers = self._answers(query, model)
        except Unavailable as error:
            if not self._failures:
                _log.warning("respondent-away", respondent=self.name, code=error.code, detail=error.detail)
            pause_s = min(self._first_s * 2.0 ** min(self._failures, 30), self._longest_s)
            self._failures += 1
            self._not_before = time.monotonic() + pause_s
            raise
        if self._failures:
            _log.info("respondent-back", respondent=self.name)
            self._failures = 0
        return answers

    def _answers(self, query: Dataset, model: UID) -> list[Dataset]:
        until = time.monotonic() + QUESTION_S
        answers: list[Dataset] = []
        with self._peer.associated([build_context(model)]) as assoc:
            for status, identifier in self._responses(assoc, query, model):
                if "Status" not in status:
                    raise self._away("the association was lost, or it fell silent, before C-FIND was answered")
                if status.Status not in _PENDING:
                    if status.Status != _SUCCESS:
                        raise self._away(f"C-FIND answered {int(status.Status):04X}")
                    continue
                if identifier is not None:
                    answers.append(identifier)
                if len(answers) > MOST_ANSWERS or time.monotonic() > until:
                    assoc.abort()
                    raise self._away(f"{len(answers)} answers came, and no end within {QUESTION_S:g} s")
        return answers

    def _responses(self, assoc: Association, query: Dataset, model: UID) -> Iterator[tuple[Dataset, Dataset | None]]:
        try:
            yield from assoc.send_c_find(query, model)
        except RuntimeError as error:  # it was aborted before anything was asked
            raise self._away("the association was lost before C-FIND was asked") from error

    def _away(self, detail: str) -> Unavailable:
        return Unavailable(Outage.DESTINATION_REFUSED, f"{self.name}: {detail}")


def _data_set(keys: Mapping[str, str]) -> Dataset:
    ds = Dataset()
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds
