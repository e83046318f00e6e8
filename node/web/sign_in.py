"""Signing in and out on the page. Comes in: a name and a password. Goes out: a cookie, and the page that was wanted."""

from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from node.core.errors import NodeError
from node.core.ledger import accounts
from node.core.ledger.accounts import LONGEST
from node.web import pages
from node.web.guard import WrongRequest, read_body
from node.web.sessions import COOKIE, NotSignedIn, Person, host_of, sign_in, sign_out
from node.web.site import site_of

_WRONG = "Name and password do not fit."


def show(request: Request) -> Response:
    """Answer with the form."""
    try:
        with site_of(request).ledger.reading() as session:
            empty = not accounts.every(session)
    except NodeError as error:
        return pages.message(request, None, 503, str(error))
    return _form(request, 200, "", request.query_params.get("next", ""), empty=empty)


async def enter(request: Request) -> Response:
    """Sign somebody in."""
    site = site_of(request)
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return await run_in_threadpool(pages.message, request, None, 403, "Sign in on this page itself.")
    try:
        fields = dict(parse_qsl((await read_body(request)).decode(), max_num_fields=10))
        name, password = fields.get("name", "")[:64], fields.get("password", "")
        token = await run_in_threadpool(sign_in, site, name, password, host_of(request))
    except (WrongRequest, ValueError):
        return await run_in_threadpool(_form, request, 400, "This is no form.", "")
    except NotSignedIn as error:
        wait = f" Too many attempts: wait {pages.duration(error.wait_s)}." if error.wait_s else ""
        status = 429 if error.wait_s else 401
        answer = await run_in_threadpool(_form, request, status, _WRONG + wait, fields.get("next", ""))
        if error.wait_s:
            answer.headers["Retry-After"] = str(error.wait_s)
        return answer
    except NodeError as error:
        return await run_in_threadpool(pages.message, request, None, 503, str(error))
    answer = RedirectResponse(_inside(fields.get("next", "")), 303)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return answer


def leave(request: Request, person: Person) -> Response:
    """Sign somebody out."""
    sign_out(site_of(request), person)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
    return answer


def _form(request: Request, status: int, fault: str, onward: str, *, empty: bool = False) -> Response:
    return pages.render(request, None, "sign_in.html", status, fault=fault, onward=_inside(onward), empty=empty)


def _inside(address: str) -> str:
    """Return an address of this site; the worklist in place of any other."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and "\\" not in address
    return address if inside and address.isprintable() else "/"
