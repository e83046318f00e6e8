"""Signing in and out: a name and a password for a token, which the browser holds as a cookie, or a program as a bearer.

The ledger holds the token's digest. The token against forged requests comes from the session's token by one way: who
has it cannot sign in with it. Every attempt is in the audit trail.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from starlette.requests import Request

from node.core.ledger import accounts, audit
from node.core.ledger.accounts import Role
from node.passwords import is_right
from node.web.site import Site, site_of

COOKIE = "crlm-session"
_BEARER = "bearer "
_FORGERY = b"crlm-node forged requests"


class NotSignedIn(Exception):
    """Name and password do not fit, or were tried too often; `wait_s` says how long to wait."""

    def __init__(self, wait_s: int = 0) -> None:
        self.wait_s = wait_s
        super().__init__(wait_s)


@dataclass(frozen=True)
class Person:
    """Who is signed in."""

    name: str
    role: Role
    digest: str
    forgery_token: str
    host: str
    by_bearer: bool

    def may_act_as(self, role: Role) -> bool:
        """Say whether this person may do what the role may."""
        return self.role.may_act_as(role)


def sign_in(site: Site, name: str, password: str, host: str) -> str:
    """Return a new token for who has this name and password.

    Raises
    ------
    NotSignedIn
        They do not fit, or too many were tried.
    """
    if wait_s := site.throttle.wait_s(name, host):
        raise NotSignedIn(wait_s)
    with site.ledger.reading() as session:
        account = accounts.find(session, name)
    if not is_right(password, account.password if account else None):
        site.throttle.failed(name, host)
        audit.note(site.ledger, audit.signed_in(name, host, detail="wrong name or password", done=False))
        raise NotSignedIn(site.throttle.wait_s(name, host))
    site.throttle.succeeded(name, host)
    token = secrets.token_urlsafe(32)
    with site.ledger.transaction() as session:
        accounts.sign_in(session, name, digest_of(token))
        audit.write(session, audit.signed_in(name, host))
    return token


def sign_out(site: Site, person: Person) -> None:
    """Forget who is signed in."""
    with site.ledger.transaction() as session:
        accounts.sign_out(session, person.digest)
        audit.write(session, audit.signed_out(person.name, person.host))


def person_of(request: Request) -> Person | None:
    """Return who is signed in by the token of a request; None where nobody is."""
    authorization = request.headers.get("authorization", "")
    by_bearer = authorization.lower().startswith(_BEARER)
    token = authorization[len(_BEARER) :] if by_bearer else request.cookies.get(COOKIE, "")
    if not token:
        return None
    digest, ledger = digest_of(token), site_of(request).ledger
    with ledger.reading() as session:
        account = accounts.signed_in(session, digest)
        due = account is not None and accounts.is_due(session, digest)
    if account is None:
        return None
    if due:
        with ledger.transaction() as session:
            accounts.see(session, digest)
    return Person(account.name, Role(account.role), digest, forgery_token(token), host_of(request), by_bearer)


def digest_of(token: str) -> str:
    """Return what the ledger knows a token by."""
    return hashlib.sha256(token.encode()).hexdigest()


def forgery_token(token: str) -> str:
    """Return what a page of this session has to send with each order."""
    return hmac.new(token.encode(), _FORGERY, hashlib.sha256).hexdigest()


def host_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else ""
