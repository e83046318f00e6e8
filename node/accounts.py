"""Accounts of the page, as an administrator orders them: by the command line, and on the page by the same functions.

Comes in: a name, a role, a password. Goes out: rows of the ledger, and entries of the audit trail. What can go wrong:
the name is taken, unknown or none (`NotPossible`), the password is weak (`WeakPassword`).
"""

import re

from node.core.ledger import Ledger, accounts, audit
from node.core.ledger.accounts import Role
from node.operations import NotPossible
from node.passwords import hashed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def add(ledger: Ledger, name: str, role: Role, password: str) -> None:
    """Make an account."""
    if not _NAME.fullmatch(name):
        raise NotPossible("a name has letters, digits and . _ @ -, 64 at most")
    kept = hashed(password)
    with ledger.transaction() as session:
        if not accounts.add(session, name, role, kept):
            raise NotPossible(f"there is an account {name} already")
        audit.write(session, audit.commanded("user add", detail=f"{name} {role}"))


def remove(ledger: Ledger, name: str) -> None:
    """Remove an account and sign it out."""
    with ledger.transaction() as session:
        if not accounts.remove(session, name):
            raise NotPossible(f"there is no account {name}")
        audit.write(session, audit.commanded("user remove", detail=name))


def change_password(ledger: Ledger, name: str, password: str) -> None:
    """Give an account another password and sign it out everywhere."""
    kept = hashed(password)
    with ledger.transaction() as session:
        if not accounts.change_password(session, name, kept):
            raise NotPossible(f"there is no account {name}")
        audit.write(session, audit.commanded("user password", detail=name))
