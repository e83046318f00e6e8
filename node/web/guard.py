"""Who may what: every route but signing in, health, metrics and static files goes through here.

Comes in: a request. Goes out: the answer of the route's own function, which runs in a thread, in the name of who is
signed in. What can go wrong is answered here, once: nobody is signed in, the role may not, an order without the token
against forged requests, an order that does not fit (409), a ledger that is away (503), a body that is too large (413).
"""

import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from node.core.errors import NodeError
from node.core.ledger import audit
from node.core.ledger.accounts import Role
from node.core.lock import Held
from node.operations import NotPossible
from node.passwords import WeakPassword
from node.web import pages
from node.web.sessions import Person, person_of

FORGERY_FIELD, FORGERY_HEADER = "forgery-token", "x-forgery-token"
_LARGEST_BODY = 65_536
_LOOKING = ("GET", "HEAD")

Endpoint = Callable[[Request, Person], Response]
Fields = dict[str, str]


class NotFound(Exception):
    """There is no such thing; the message says what."""


class WrongRequest(Exception):
    """What was sent cannot be followed; the message says why."""


def guarded(endpoint: Endpoint, role: Role, *, api: bool = False) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint for who may act as `role`; an API answers in JSON and leads nobody to the sign-in."""

    async def enter(request: Request) -> Response:
        try:
            person = await run_in_threadpool(person_of, request)
            if person is None:
                return _nobody(request, api=api)
            if not person.may_act_as(role):
                return await _said(
                    request, person, 403, f"This is for the role {role}; {person.name} is {person.role}.", api
                )
            if request.method not in _LOOKING:
                request.state.body = await read_body(request)
                if not person.by_bearer and not _is_meant(request, person):
                    return await _said(
                        request, person, 403, "The page was too old: open it again and repeat the order.", api
                    )
            with audit.on_behalf_of(person.name, person.host):
                return await run_in_threadpool(endpoint, request, person)
        except NotFound as error:
            return await _said(request, person, 404, str(error), api)
        except WrongRequest as error:
            return await _said(request, person, 400, str(error), api)
        except (NotPossible, WeakPassword, Held) as error:
            return await _said(request, person, 409, str(error), api)
        except NodeError as error:
            return await _said(request, None, 503, str(error), api)

    return enter


def fields_of(request: Request) -> Fields:
    """Return the fields of a form that was sent.

    Raises
    ------
    WrongRequest
        It is no form.
    """
    try:
        return dict(parse_qsl(request.state.body.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise WrongRequest("This is no form.") from error


async def read_body(request: Request) -> bytes:
    """Return what was sent, if it is not too large.

    Raises
    ------
    WrongRequest
        It is, or it was broken off.
    """
    content = b""
    try:
        async for piece in request.stream():
            content += piece
            if len(content) > _LARGEST_BODY:
                raise WrongRequest("What was sent is too large.")
    except ClientDisconnect as error:
        raise WrongRequest("It was not sent to its end.") from error
    return content


def _is_meant(request: Request, person: Person) -> bool:
    """Say whether an order comes from a page of this session."""
    sent = request.headers.get(FORGERY_HEADER)
    if sent is None and "json" not in request.headers.get("content-type", ""):
        sent = fields_of(request).get(FORGERY_FIELD)
    return hmac.compare_digest((sent or "").encode(), person.forgery_token.encode())


def _nobody(request: Request, *, api: bool) -> Response:
    if api:
        return JSONResponse({"detail": "Nobody is signed in."}, 401, {"WWW-Authenticate": "Bearer"})
    if "hx-request" in request.headers:  # a part of a page: the whole page goes to sign in
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    path = request.url.path if request.method in _LOOKING else "/"
    query = f"?{request.url.query}" if request.url.query and request.method in _LOOKING else ""
    return RedirectResponse(f"/sign-in?next={quote(path + query, safe='')}", 303)


async def _said(request: Request, person: Person | None, status: int, sentence: str, api: bool) -> Response:
    if api:
        return JSONResponse({"detail": sentence}, status)
    return await run_in_threadpool(pages.message, request, person, status, sentence)
