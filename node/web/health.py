"""Whether the page lives, and whether the node can take studies: for a service manager, a proxy, a monitor.

Goes out: 200, or 503 with what is away, in coded reasons. No patient data, so nobody has to sign in.
"""

from collections.abc import Mapping

from redis import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from node.broker import ping
from node.core.errors import Unavailable
from node.core.ledger import SCHEMA
from node.core.reasons import Outage
from node.web import machine
from node.web.site import Site, site_of

_TIMEOUT_S = 2.0
_MB = 1_000_000


def live(request: Request) -> Response:
    """Answer that this process answers."""
    del request
    return JSONResponse({"status": "live"})


def ready(request: Request) -> Response:
    """Answer whether ledger, spool and broker can be used."""
    found = checks(site_of(request))
    well = not any(found.values())
    told = {name: fault or "ok" for name, fault in found.items()}
    return JSONResponse({"status": "ready" if well else "not-ready", "checks": told}, 200 if well else 503)


def checks(site: Site) -> Mapping[str, str]:
    """Return a fault, or nothing, for each part that the node stands on."""
    return {"ledger": _ledger(site), "spool": _spool(site), "broker": _broker(site)}


def _ledger(site: Site) -> str:
    try:
        schema = site.ledger.schema()
    except Unavailable as error:
        return error.code
    return "" if schema == SCHEMA else "schema-mismatch"


def _spool(site: Site) -> str:
    if not (site.spool.root / "instances").is_dir():
        return Outage.SPOOL_FAILED
    free = machine.disk_free_bytes(site.spool.root)
    return "disk-full" if free < site.settings.spool_full_mb * _MB else ""


def _broker(site: Site) -> str:
    try:
        ping(site.settings, _TIMEOUT_S)
    except (RedisError, ValueError):  # or a password, or a URL, that cannot be used
        return Outage.BROKER_UNREACHABLE
    return ""
