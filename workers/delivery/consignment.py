"""What every kind of destination works on: the objects of one job that are due for it, and where outcomes go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from node.core.errors import NodeError, Untrusted
from node.core.ledger import Ledger, deliveries
from node.core.ledger.tables import Delivery
from node.core.reasons import StudyRefusal
from node.core.settings import Settings
from node.core.spool import Spool, digest
from node.core.states import DeliveryState

# What became of an object: how it was proven to be there, or why it is not.
Outcome = str | NodeError

_OPEN = (DeliveryState.PENDING, DeliveryState.SENT)


@dataclass(frozen=True)
class Consignment:
    """Objects of one job that are due for one destination, as the ledger had them when the work began."""

    study_uid: str
    due: tuple[Delivery, ...]
    settings: Settings
    spool: Spool
    ledger: Ledger

    @property
    def pending(self) -> list[Delivery]:
        """Those that have to be sent."""
        return [one for one in self.due if one.state is DeliveryState.PENDING]

    def content(self, delivery: Delivery) -> bytes:
        """Return the bytes of an object."""
        return self.spool.work(delivery.job_key).read(delivery.file)

    def path(self, delivery: Delivery) -> Path:
        """Return where the file of an object lies."""
        return self.spool.root / self.spool.work(delivery.job_key).path / delivery.file

    def require_whole(self) -> None:
        """Raise `Untrusted` where a stored object is not the one that was made."""
        for delivery in self.due:
            if digest(self.content(delivery)) != delivery.digest:
                raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"stored {delivery.file} was changed")

    def still_open(self, session: Session, chosen: Sequence[Delivery]) -> list[Delivery]:
        """Return the rows as they are now, without those that another worker has brought to their end meanwhile."""
        # In one order: two workers that lock the same rows would wait for each other.
        keys = sorted((one.sop_instance_uid, one.destination) for one in chosen)
        rows = [session.get(Delivery, key, with_for_update=True) for key in keys]
        return [row for row in rows if row is not None and row.state in _OPEN]

    def mark_sent(self, details: Mapping[str, str]) -> None:
        """Note at once which objects, by SOP Instance UID, were answered success, and with what status."""
        chosen = [one for one in self.due if one.sop_instance_uid in details]
        with self.ledger.transaction() as session:
            for row in self.still_open(session, chosen):
                deliveries.mark_sent(session, row, details[row.sop_instance_uid])
