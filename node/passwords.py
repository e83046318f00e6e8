"""Passwords of accounts: hashed by argon2id, never kept, never printed.

Comes in: what a person types. Goes out: a hash, or whether it is right. What can go wrong: a password that is too short
(`WeakPassword`). To look for an account that does not exist takes as long as for one that does.
"""

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 256
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 64 MiB while it is at work
_HASHER = PasswordHasher()


class WeakPassword(ValueError):
    """The password may not be one; the message says why."""


def hashed(password: str) -> str:
    """Return the hash of a password that is long enough.

    Raises
    ------
    WeakPassword
        It is too short, or longer than anybody types.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPassword(f"a password has {SHORTEST} to {LONGEST} characters")
    with _AT_ONCE:
        return _HASHER.hash(password)


def is_right(password: str, known: str | None) -> bool:
    """Say whether a password is that of a hash; of None, the hash of nobody, it never is."""
    try:
        with _AT_ONCE:
            _HASHER.verify(known or _of_nobody(), password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return known is not None


@cache
def _of_nobody() -> str:
    return _HASHER.hash("nobody has this password")
