"""The listener's side of storage commitment: reports that a PACS sends on an association of its own.

Comes in: N-EVENT-REPORT requests (PS3.4 section J.3.3) of callers that stage 1 has let in; a PACS that reports in this
way has to be among `calling`. Goes out: deliveries that are proven or tried again. What can go wrong: a report that
cannot be read, or that is of no transaction of ours (logged and ignored; a transaction UID cannot be guessed); the
ledger is away (answered as a processing failure, so that the PACS may send it again, and a query proves in the end).
"""

from dataclasses import dataclass

from pydicom import Dataset

from node.core import log
from node.core.commitment import read_report
from node.core.errors import Refused, Unavailable
from node.core.ledger import Ledger, commitments
from node.core.ledger.deliveries import Schedule
from node.core.states import DeliveryState

SUCCESS, PROCESSING_FAILURE, INVALID_ARGUMENT = 0x0000, 0x0110, 0x0115  # PS3.7 annex C

_log = log.get("commitment")


@dataclass(frozen=True)
class Reports:
    """Takes reports into a ledger; used by many associations at once."""

    ledger: Ledger
    schedule: Schedule

    def take(self, event_type: int | None, information: Dataset, calling_ae_title: str) -> int:
        """Take a report in and return the status to answer."""
        caller = _log.bind(calling_ae_title=calling_ae_title)
        try:
            report = read_report(event_type, information)
        except Refused as error:
            caller.warning("report-unreadable", code=error.code, detail=error.detail)
            return INVALID_ARGUMENT
        try:
            with self.ledger.transaction() as session:
                moved = commitments.settle(session, report, self.schedule)
        except Unavailable as error:
            caller.error("report-not-entered", code=error.code, detail=error.detail)
            return PROCESSING_FAILURE
        if moved is None:
            caller.warning("report-unknown", transaction=report.transaction_uid)
            return SUCCESS
        proven = sum(one.state is DeliveryState.PROVEN for one in moved)
        facts = {"committed": proven, "refused": len(moved) - proven, "ignored": not moved}
        caller.info("report-taken", transaction=report.transaction_uid, **facts)
        return SUCCESS
