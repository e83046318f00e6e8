"""Templates: what all pages share, and how a value is written for a person.

Comes in: the name of a template and what it shows. Goes out: HTML; everything is escaped by Jinja. Times are UTC, in a
`time` element that a script may show in the reader's own.
"""

import hashlib
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from node import __version__
from node.core.codes import UNIT_DISPLAY
from node.core.errors import ANSWERS
from node.core.ledger.accounts import Role
from node.core.ledger.queues import NAMES
from node.core.reasons import Coded, Flag, NotComputed, NoteCode, Outage, StudyRefusal
from node.web.sessions import Person
from node.web.site import site_of

STATIC = Path(__file__).with_name("static")
_CODES: dict[str, Coded] = {str(one): one for one in (*NotComputed, *NoteCode, *StudyRefusal, *Outage, *Flag)}


def render(request: Request, person: Person | None, template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    """Return a page, with what the last order said to this person."""
    site = site_of(request)
    said = site.said.pop(person.digest, "") if person and "hx-request" not in request.headers else ""
    content = (
        _environment()
        .get_template(template)
        .render(
            person=person,
            path=request.url.path,
            said=said,
            node=site.settings.ae_title,
            version=__version__,
            operates=person is not None and person.may_act_as(Role.OPERATOR),
            administers=person is not None and person.may_act_as(Role.ADMINISTRATOR),
            **shown,
        )
    )
    return HTMLResponse(content, status)


def message(request: Request, person: Person | None, status: int, sentence: str) -> HTMLResponse:
    """Return a page that says one sentence."""
    return render(request, person, "message.html", status, sentence=sentence, status_code=status)


def sentence_of(code: str | None) -> str:
    """Return the sentence of a code; empty for one that is none of ours."""
    return _CODES[code].sentence if code in _CODES else ""


def cure_of(code: str | None) -> str:
    """Return what an operator may do about a code."""
    answer = ANSWERS.get(_CODES[code]) if code in _CODES else None
    return answer.operator if answer and answer.operator != sentence_of(code) else ""


def number(value: float | str | None, unit: str = "") -> str:
    """Return a number with as many decimals as it deserves, and its unit."""
    if value is None:
        return ""
    written = (
        value
        if isinstance(value, str)
        else f"{value:,.0f}"
        if value == int(value) and unit in ("1", "")
        else f"{value:,.2f}"
    )
    return f"{written} {UNIT_DISPLAY.get(unit, unit)}".strip()


def moment(at: datetime | None) -> Markup:
    """Return a time of the ledger."""
    if at is None:
        return Markup("")
    return Markup('<time datetime="{}Z">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%S}", f"{at:%Y-%m-%d %H:%M:%S}")


def day(on: date | None) -> str:
    """Return a date."""
    return f"{on:%Y-%m-%d}" if on else ""


def duration(seconds: float | None) -> str:
    """Return a length of time in two units at most."""
    if seconds is None:
        return ""
    for unit, size, below in (("d", 86_400, 3_600), ("h", 3_600, 60), ("min", 60, 1)):
        if seconds >= size:
            rest = int(seconds % size // below)
            smaller = {"d": "h", "h": "min", "min": "s"}[unit]
            return f"{int(seconds // size)} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.0f} s"


@cache
def static(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("node.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": moment, "day": day, "number": number, "sentence": sentence_of, "cure": cure_of}
    made.filters |= {"duration": duration, "words": lambda text: str(text).replace("-", " ").replace("_", " ")}
    made.globals |= {"static": static, "turns": NAMES, "escape": escape}
    return made
