"""What people have entered on the page about patients. Each function runs in the caller's transaction."""

from sqlalchemy.orm import Session

from node.core.ledger import now
from node.core.ledger.tables import PatientEntry


def of_patient(session: Session, patient: str, issuer: str) -> PatientEntry | None:
    """Return what was entered of a patient, by the ID and the issuer as they are compared."""
    return session.get(PatientEntry, (patient, issuer)) if patient else None


def enter(session: Session, patient: str, issuer: str, facts: str, by: str) -> None:
    """Enter facts about a patient, JSON, in place of those that were entered before."""
    session.merge(PatientEntry(patient=patient, issuer=issuer, facts=facts, entered_at=now(), entered_by=by))
