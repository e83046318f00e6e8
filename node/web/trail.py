"""The audit trail and the accounts, for administrators. To read the trail is an entry of it."""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from node.core.dicom import is_uid
from node.core.ledger import accounts, audit, now
from node.core.ledger.accounts import Role
from node.web import pages
from node.web.guard import WrongRequest
from node.web.sessions import Person
from node.web.site import site_of

_DAYS, _MOST = 7, 500


def show(request: Request, person: Person) -> Response:
    """Answer with the latest entries, or with those of a study."""
    site, uid = site_of(request), request.query_params.get("study", "").strip()
    if uid and not is_uid(uid):
        raise WrongRequest("That is no Study Instance UID.")
    with site.ledger.transaction() as session:
        since = None if uid else now() - timedelta(days=_DAYS)
        found = audit.latest(session, _MOST, since=since, study_uid=uid or None)
        audit.write(session, audit.trail_read(f"{len(found)} rows" + (f" of study {uid}" if uid else "")))
    rows = [(one, audit.kind_of(one)) for one in found]
    return pages.render(request, person, "trail.html", rows=rows, uid=uid, days=_DAYS, most=_MOST)


def show_accounts(request: Request, person: Person) -> Response:
    """Answer with the accounts."""
    with site_of(request).ledger.reading() as session:
        found = accounts.every(session)
    return pages.render(request, person, "accounts.html", found=found, roles=list(Role))
