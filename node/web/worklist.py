"""The worklist: search, filters, pages by key, and its rows alone for who has the page open.

Comes in: a query string. Goes out: the page, or its rows; nothing where the rows are what the browser has already.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from node.core.ledger import worklist
from node.core.ledger.worklist import Condition, Cursor, Page, Search
from node.core.reasons import Outage, StudyRefusal
from node.identity import folded
from node.web import pages
from node.web.guard import WrongRequest
from node.web.sessions import Person
from node.web.site import site_of

_LONGEST_TEXT = 100
REASONS = sorted({*map(str, StudyRefusal), *map(str, Outage)})


@dataclass(frozen=True)
class Asked:
    """What a query string asks for; `values` are its fields as they were written."""

    search: Search
    after: Cursor | None
    before: Cursor | None
    values: Mapping[str, str]


def show(request: Request, person: Person) -> Response:
    """Answer with the page; a part of it where the page itself asks."""
    asked = asked_for(request)
    with site_of(request).ledger.reading() as session:
        found = worklist.page(session, asked.search, after=asked.after, before=asked.before)
        attention = worklist.attention(session)
    seen = fingerprint(found, attention)
    if request.query_params.get("seen") == seen:
        return Response(status_code=204)
    part = "hx-request" in request.headers
    return pages.render(
        request,
        person,
        "_rows.html" if part else "worklist.html",
        page=found,
        attention=attention,
        values=asked.values,
        conditions=list(Condition),
        reasons=REASONS,
        seen=seen,
        here=_query(asked, asked.after, asked.before),
        older=_query(asked, found.rows[-1].cursor, None) if found.older and found.rows else "",
        newer=_query(asked, None, found.rows[0].cursor) if found.newer and found.rows else "",
        first=_query(asked, None, None),
    )


def asked_for(request: Request) -> Asked:
    """Read a query string.

    Raises
    ------
    WrongRequest
        A value is none of its kind.
    """
    values = {name: request.query_params.get(name, "").strip() for name in ("q", "since", "until", "state", "reason")}
    try:
        search = Search(
            text=folded(values["q"])[:_LONGEST_TEXT],
            since=date.fromisoformat(values["since"]) if values["since"] else None,
            until=date.fromisoformat(values["until"]) if values["until"] else None,
            condition=Condition(values["state"]) if values["state"] else None,
            reason=values["reason"],
        )
        after, before = (_cursor(request.query_params.get(name, "")) for name in ("after", "before"))
    except ValueError as error:
        raise WrongRequest("The search has a value that cannot be read.") from error
    return Asked(search, after, before, values)


def cursor_text(cursor: Cursor) -> str:
    """Return a place of the list as a query string holds it."""
    return f"{cursor.received_at.isoformat()}_{cursor.uid}"


def fingerprint(page: Page, attention: Mapping[Condition, int]) -> str:
    """Return what changes when a person would see something else."""
    return hashlib.sha256(repr((page, sorted(attention.items()))).encode()).hexdigest()[:16]


def _cursor(text: str) -> Cursor | None:
    if not text:
        return None
    at, _, uid = text.partition("_")
    return Cursor(datetime.fromisoformat(at), uid)


def _query(asked: Asked, after: Cursor | None, before: Cursor | None) -> str:
    values = {name: value for name, value in asked.values.items() if value}
    values |= {"after": cursor_text(after)} if after else {}
    values |= {"before": cursor_text(before)} if before else {}
    return f"/?{urlencode(values)}" if values else "/"
