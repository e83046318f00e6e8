"""What a job made, and what of it may go to a destination in place of something. Each function in the caller's session.

Every object is entered when its job reports, whoever gets it: so the bytes of the Summary are known, and cannot be
exchanged unseen, long before a destination turns out to need it.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.core import kinds
from node.core.ledger.tables import Product


def enter(session: Session, *, job_key: str, kind: str, sop_instance_uid: str, file: str, digest: str) -> None:
    """Enter an object that a job made; of one that is entered already the new bytes count."""
    session.merge(
        Product(sop_instance_uid=sop_instance_uid, job_key=job_key, kind=kind, file=file, digest=digest),
    )


def in_place_of(session: Session, job_key: str, kind: str) -> Sequence[Product]:
    """Return the objects of a job that are the next best where one of this kind is not taken; empty where none is."""
    for other in kinds.in_place_of(kind):
        query = select(Product).where(Product.job_key == job_key, Product.kind == other)
        if found := session.scalars(query.order_by(Product.sop_instance_uid)).all():
            return found
    return ()
