"""The application: every route, and who may take it. `make` is all that the process and the tests call."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from node.core.ledger import Ledger
from node.core.ledger.accounts import Role
from node.core.settings import Settings
from node.core.spool import Spool
from node.web import api, health, metrics, openapi, operation, orders, pages, patient, sign_in, study, trail, worklist
from node.web.guard import Endpoint, guarded
from node.web.headers import Headers
from node.web.live import Pulse
from node.web.orders import Order
from node.web.sessions import Person
from node.web.site import Site, site_of

_STUDY, _QUEUE, _DESTINATION, _USERS = "/studies/{uid}", "/operation", "/destinations", "/accounts"
_LOOK: dict[str, tuple[Endpoint, Role]] = {
    "/": (worklist.show, Role.READER),
    _STUDY: (study.show, Role.READER),
    _STUDY + "/patient": (patient.show, Role.READER),
    _STUDY + "/jobs/{job}/images/{name}": (study.image, Role.READER),
    _QUEUE: (operation.show, Role.READER),
    _DESTINATION: (operation.show_destinations, Role.READER),
    "/audit": (trail.show, Role.ADMINISTRATOR),
    _USERS: (trail.show_accounts, Role.ADMINISTRATOR),
}
_ORDER: dict[str, tuple[Order, Role, str, str]] = {
    _STUDY + "/replay": (orders.replay, Role.OPERATOR, "uid", _STUDY),
    _STUDY + "/release": (orders.release, Role.OPERATOR, "uid", _STUDY),
    _STUDY + "/delete": (orders.delete, Role.ADMINISTRATOR, "uid", _STUDY),
    _STUDY + "/priority": (orders.priority, Role.OPERATOR, "uid", _STUDY),
    _STUDY + "/facts": (orders.facts, Role.OPERATOR, "uid", _STUDY),
    "/queues/{stage}/pause": (orders.pause, Role.OPERATOR, "stage", _QUEUE),
    "/queues/{stage}/resume": (orders.resume, Role.OPERATOR, "stage", _QUEUE),
    "/destinations/{name}/echo": (orders.echo, Role.OPERATOR, "name", _DESTINATION),
    _USERS: (orders.user_add, Role.ADMINISTRATOR, "name", _USERS),
    _USERS + "/{name}/remove": (orders.user_remove, Role.ADMINISTRATOR, "name", _USERS),
    _USERS + "/{name}/password": (orders.user_password, Role.ADMINISTRATOR, "name", _USERS),
}


def make(settings: Settings, ledger: Ledger) -> Starlette:
    """Return the application of a site."""
    site = Site(settings, ledger, Spool(settings.spool_dir), Pulse(ledger))
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Headers)],
        exception_handlers={404: _nothing, 405: _nothing, 500: _fault},
    )
    app.state.site = site
    app.state.metrics = metrics.registry_of(site)
    return app


def _routes() -> list[BaseRoute]:
    looks = [Route(path, guarded(show, role), methods=["GET"]) for path, (show, role) in _LOOK.items()]
    ordered = [
        Route(path, guarded(orders.by_form(order, name, back), role), methods=["POST"])
        for path, (order, role, name, back) in _ORDER.items()
    ]
    return [
        Route("/sign-in", sign_in.show, methods=["GET"]),
        Route("/sign-in", sign_in.enter, methods=["POST"]),
        Route("/sign-out", guarded(sign_in.leave, Role.READER), methods=["POST"]),
        Route("/live", guarded(_live, Role.READER), methods=["GET"]),
        Route("/health/live", health.live, methods=["GET"]),
        Route("/health/ready", health.ready, methods=["GET"]),
        Route("/metrics", metrics.show, methods=["GET"]),
        Route("/api/openapi.json", openapi.show, methods=["GET"]),
        Mount("/static", StaticFiles(directory=pages.STATIC)),
        *api.routes(),
        *looks,
        *ordered,
    ]


def _live(request: Request, person: Person) -> Response:
    del person
    pulse = site_of(request).pulse
    if pulse.crowded:
        return Response("Too many listen.", 503, {"Retry-After": "60"})
    return StreamingResponse(pulse.beats(), media_type="text/event-stream")


def _nothing(request: Request, _error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": "There is no such thing."}, 404)
    return pages.message(request, None, 404, "There is no such page.")


def _fault(request: Request, _error: Exception) -> Response:
    """Answer a fault of the program with a sentence; its words may hold patient data and go nowhere."""
    sentence = "The program failed: see the log of the page, and report the fault."
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": sentence}, 500)
    return pages.message(request, None, 500, sentence)
