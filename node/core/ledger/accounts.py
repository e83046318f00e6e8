"""Who may use the page and the API, and who is signed in. Each function runs in the caller's transaction.

The ledger holds hashes of passwords and digests of what browsers hold: neither can be used by who reads them there.
"""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from node.core.ledger import now
from node.core.ledger.tables import Account, SignIn

IDLE, LONGEST = timedelta(hours=2), timedelta(hours=12)  # of being signed in
_SEEN_EVERY = timedelta(minutes=1)


class Role(StrEnum):
    """What somebody may do; each role may do what those before it may."""

    READER = "reader"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"

    def may_act_as(self, other: "Role") -> bool:
        """Say whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


def find(session: Session, name: str) -> Account | None:
    """Return the account of that name."""
    return session.get(Account, name)


def every(session: Session) -> Sequence[Account]:
    """Return all accounts, by name."""
    return session.scalars(select(Account).order_by(Account.name)).all()


def add(session: Session, name: str, role: Role, password: str) -> bool:
    """Enter an account with the hash of its password; False where the name is taken."""
    if session.get(Account, name) is not None:
        return False
    at = now()
    session.add(Account(name=name, role=role, password=password, created_at=at, changed_at=at))
    return True


def remove(session: Session, name: str) -> bool:
    """Remove an account, and sign it out; False where there is none."""
    account = session.get(Account, name)
    if account is None:
        return False
    sign_out_all(session, name)
    session.delete(account)
    return True


def change_password(session: Session, name: str, password: str) -> bool:
    """Enter the hash of another password and sign the account out everywhere; False where there is none."""
    account = session.get(Account, name)
    if account is None:
        return False
    sign_out_all(session, name)
    account.password, account.changed_at = password, now()
    return True


def sign_in(session: Session, name: str, digest: str) -> None:
    """Note that an account is signed in by what has this digest; what ran out long ago is forgotten."""
    at = now()
    session.execute(delete(SignIn).where(SignIn.began_at < at - LONGEST))
    session.add(SignIn(digest=digest, account=name, began_at=at, seen_at=at))


def signed_in(session: Session, digest: str) -> Account | None:
    """Return who is signed in by what has this digest; None where nobody is, or not any more."""
    found = session.execute(
        select(Account, SignIn).join(SignIn, SignIn.account == Account.name).where(SignIn.digest == digest)
    ).one_or_none()
    if found is None:
        return None
    account, one = found
    at = now()
    return account if at - one.seen_at < IDLE and at - one.began_at < LONGEST else None


def is_due(session: Session, digest: str) -> bool:
    """Say whether it was so long ago that this was seen that it should be noted anew."""
    one = session.get(SignIn, digest)
    return one is not None and now() - one.seen_at > _SEEN_EVERY


def see(session: Session, digest: str) -> None:
    """Note that who is signed in by this was here."""
    one = session.get(SignIn, digest)
    if one is not None:
        one.seen_at = now()


def sign_out(session: Session, digest: str) -> None:
    """Forget that somebody is signed in by this."""
    session.execute(delete(SignIn).where(SignIn.digest == digest))


def sign_out_all(session: Session, name: str) -> None:
    """Sign an account out everywhere."""
    session.execute(delete(SignIn).where(SignIn.account == name))
