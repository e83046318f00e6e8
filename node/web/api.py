"""The API: what the pages show and order, as JSON under /api, for who has signed in there (`openapi` describes it).

Comes in: a query string, or a JSON object whose members are those of the page's forms. Goes out: the shapes of
`node.web.shapes`. An order calls what the button calls.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.core.errors import NodeError
from node.core.ledger import accounts, audit, now, overview, worklist
from node.core.ledger.accounts import Role
from node.web import operation, orders
from node.web.account import gather
from node.web.guard import Fields, WrongRequest, guarded, read_body
from node.web.orders import Order
from node.web.sessions import NotSignedIn, Person, host_of, sign_in
from node.web.shapes import (
    DestinationShape,
    Entry,
    Operation,
    Said,
    StudyLine,
    StudyShape,
    Token,
    User,
    Worklist,
)
from node.web.site import site_of
from node.web.study import FACTS
from node.web.worklist import asked_for, cursor_text

_DAYS, _MOST = 7, 500
CAUSE = {"cause": "Why, for the audit trail; no patient data."}
SEARCH = {
    "q": "How an accession number, Patient ID or Study Instance UID begins, or a part of a name.",
    "since": "Earliest study date.",
    "until": "Latest study date.",
    "state": "One of the conditions.",
    "reason": "A coded reason.",
    "after": "As the page before said it.",
    "before": "As the page after said it.",
}


@dataclass(frozen=True)
class Door:
    """One operation of the API; `role` is who may, `sent` and `asked` what its body and its query string hold."""

    method: str
    path: str
    about: str
    role: Role
    answer: type[Any]
    look: Callable[[Request], Any] | None = None
    order: Order | None = None
    sent: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)


def _studies(request: Request) -> Worklist:
    asked = asked_for(request)
    with site_of(request).ledger.reading() as session:
        page = worklist.page(session, asked.search, after=asked.after, before=asked.before)
    older, newer = page.older and page.rows, page.newer and page.rows
    return Worklist(
        [StudyLine.of(row) for row in page.rows],
        cursor_text(page.rows[-1].cursor) if older else "",
        cursor_text(page.rows[0].cursor) if newer else "",
    )


def _study(request: Request) -> StudyShape:
    site, uid = site_of(request), request.path_params["name"]
    with site.ledger.reading() as session:
        account = gather(session, site.spool, uid, request.query_params.get("job", ""))
    audit.note(site.ledger, audit.looked_at(uid, "API"))
    return StudyShape.of(account)


def _operation(request: Request) -> Operation:
    with site_of(request).ledger.reading() as session:
        return Operation(overview.every_queue(session), overview.at_work(session))


def _destinations(request: Request) -> list[DestinationShape]:
    site = site_of(request)
    named = {one.name: one for one in site.settings.destinations}
    with site.ledger.reading() as session:
        found = overview.destinations(session, list(named))
    return [DestinationShape.of(one, address) for one, _, address in operation.described(found, named)]


def _trail(request: Request) -> list[Entry]:
    with site_of(request).ledger.transaction() as session:
        rows = audit.latest(session, _MOST, since=now() - timedelta(days=_DAYS))
        audit.write(session, audit.trail_read(f"{len(rows)} rows"))
    return [Entry.of(row) for row in rows]


def _users(request: Request) -> list[User]:
    with site_of(request).ledger.reading() as session:
        return [User(one.name, Role(one.role)) for one in accounts.every(session)]


_READER, _OPERATOR, _ADMINISTRATOR = Role.READER, Role.OPERATOR, Role.ADMINISTRATOR
_FACTS = {
    name: ", ".join(filter(None, (title, unit, " | ".join(words)))) for name, (title, unit, words) in FACTS.items()
}
DOORS = (
    Door("GET", "/api/studies", "A page of the worklist", _READER, Worklist, _studies, asked=SEARCH),
    Door(
        *("GET", "/api/studies/{name}", "A study with everything", _READER, StudyShape, _study),
        asked={"job": "Key of an earlier job, in place of the latest."},
    ),
    Door(
        *("POST", "/api/studies/{name}/replay", "Measure a study again", _OPERATOR, Said),
        order=orders.replay,
        sent=CAUSE,
    ),
    Door(
        *("POST", "/api/studies/{name}/release", "Let a study out of quarantine", _OPERATOR, Said),
        order=orders.release,
        sent=CAUSE,
    ),
    Door(
        *("POST", "/api/studies/{name}/delete", "Delete the files of a study in quarantine", _ADMINISTRATOR, Said),
        order=orders.delete,
        sent=CAUSE,
    ),
    Door(
        *("POST", "/api/studies/{name}/priority", "Change the turn of a study", _OPERATOR, Said),
        order=orders.priority,
        sent={"turn": " | ".join(orders.TURNS), **CAUSE},
    ),
    Door(
        *("POST", "/api/studies/{name}/facts", "Enter facts about the patient of a study", _OPERATOR, Said),
        order=orders.facts,
        sent={**_FACTS, **CAUSE},
    ),
    Door("GET", "/api/operation", "Queues and workers", _READER, Operation, _operation),
    Door("POST", "/api/queues/{name}/pause", "Stop a queue", _OPERATOR, Said, order=orders.pause, sent=CAUSE),
    Door("POST", "/api/queues/{name}/resume", "Let a queue go on", _OPERATOR, Said, order=orders.resume),
    Door(
        "GET", "/api/destinations", "Destinations with their last echo", _READER, list[DestinationShape], _destinations
    ),
    Door(
        "POST",
        "/api/destinations/{name}/echo",
        "Ask a destination whether it answers",
        _OPERATOR,
        Said,
        order=orders.echo,
    ),
    Door("GET", "/api/audit", "The audit trail of the last days, latest first", _ADMINISTRATOR, list[Entry], _trail),
    Door("GET", "/api/users", "Accounts", _ADMINISTRATOR, list[User], _users),
    Door(
        *("POST", "/api/users/{name}", "Make an account", _ADMINISTRATOR, Said),
        order=orders.user_add,
        sent={"role": " | ".join(Role), "password": "At least 12 characters."},
    ),
    Door("POST", "/api/users/{name}/remove", "Remove an account", _ADMINISTRATOR, Said, order=orders.user_remove),
)


async def begin(request: Request) -> Response:
    """Sign a program in: name and password for a token."""
    try:
        sent = _object(await read_body(request))
        token = await run_in_threadpool(
            sign_in, site_of(request), sent.get("name", "")[:64], sent.get("password", ""), host_of(request)
        )
    except WrongRequest as error:
        return JSONResponse({"detail": str(error)}, 400)
    except NotSignedIn as error:
        headers = {"Retry-After": str(error.wait_s)} if error.wait_s else {}
        return JSONResponse({"detail": "Name and password do not fit."}, 429 if error.wait_s else 401, headers)
    except NodeError as error:
        return JSONResponse({"detail": str(error)}, 503)
    return _answer(Token, Token(token), 201)


def routes() -> list[Route]:
    """Return the routes of all doors."""
    made = [Route(door.path, guarded(_endpoint(door), door.role, api=True), methods=[door.method]) for door in DOORS]
    return [Route("/api/session", begin, methods=["POST"]), *made]


def _endpoint(door: Door) -> Callable[[Request, Person], Response]:
    def follow(request: Request, person: Person) -> Response:
        del person
        if door.look is not None:
            return _answer(door.answer, door.look(request), 200)
        assert door.order is not None  # noqa: S101 - a door looks or orders
        fields = {name: value for name, value in _object(request.state.body).items() if name in door.sent}
        return _answer(Said, Said(door.order(site_of(request), request.path_params["name"], fields)), 200)

    return follow


def _object(content: bytes) -> Fields:
    """Return the members of a JSON object as they would be typed; of an empty body, none."""
    try:
        found = json.loads(content or b"{}")
    except ValueError as error:
        raise WrongRequest("This is no JSON.") from error
    if not isinstance(found, dict):
        raise WrongRequest("This is no JSON object.")
    words = {True: "yes", False: "no", None: ""}
    return {str(name): words[one] if isinstance(one, bool | None) else str(one) for name, one in found.items()}


def _answer(shape: type[Any], content: object, status: int) -> Response:
    return Response(TypeAdapter(shape).dump_json(content), status, media_type="application/json")
