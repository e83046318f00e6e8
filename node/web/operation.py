"""How the node runs: queues, who works at what, processes, destinations, and the machine. Goes out: the two pages."""

import socket
from collections.abc import Mapping, Sequence

import psutil
from starlette.requests import Request
from starlette.responses import Response

from node.core.ledger import now, overview
from node.core.ledger.overview import DestinationView, ProcessView
from node.core.settings import Destination, FolderDestination, PacsDestination
from node.web import machine, pages
from node.web.sessions import Person
from node.web.site import site_of


def show(request: Request, person: Person) -> Response:
    """Answer with queues, workers, processes and the machine; with their part alone where the page itself asks."""
    site = site_of(request)
    with site.ledger.reading() as session:
        queues = overview.every_queue(session)
        work = overview.at_work(session)
        processes = overview.processes(session)
    return pages.render(
        request,
        person,
        "_operation.html" if "hx-request" in request.headers else "operation.html",
        queues=queues,
        work=work,
        processes=[(one, alive(one)) for one in processes],
        machine=machine.look(site.spool.root),
        limits=(site.settings.spool_low_mb, site.settings.spool_full_mb),
    )


def show_destinations(request: Request, person: Person) -> Response:
    """Answer with the destinations."""
    site = site_of(request)
    named = {one.name: one for one in site.settings.destinations}
    with site.ledger.reading() as session:
        found = overview.destinations(session, list(named))
    return pages.render(request, person, "destinations.html", found=described(found, named), at=now())


def described(
    found: Sequence[DestinationView], named: Mapping[str, Destination]
) -> Sequence[tuple[DestinationView, Destination | None, str]]:
    """Return each destination with what the settings say of it, and its address in words."""
    return [(one, named.get(one.name), address(named.get(one.name))) for one in found]


def address(destination: Destination | None) -> str:
    """Return where a destination is."""
    if destination is None:
        return "not in the settings any more"
    if isinstance(destination, PacsDestination):
        return f"{destination.ae_title}@{destination.host}:{destination.port}" + (", TLS" if destination.tls else "")
    return str(destination.path) if isinstance(destination, FolderDestination) else destination.url


def alive(process: ProcessView) -> bool | None:
    """Say whether a process lives; None of one on another host."""
    return psutil.pid_exists(process.pid) if process.host == socket.gethostname() else None
