"""What the buttons do: the functions that the command line calls, in the name of who is signed in.

Comes in: a form. Goes out: a redirection to the page that it was sent from, which says what came of it. What can go
wrong: the order does not fit (`NotPossible`), which `guard` answers.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from node import accounts, operations
from node.core.ledger.accounts import Role
from node.core.ledger.queues import NAMES
from node.core.states import Stage
from node.form import read_fields
from node.web import echoes
from node.web.guard import Fields, WrongRequest, fields_of
from node.web.sessions import Person
from node.web.site import Site, site_of
from node.web.study import FACTS

Order = Callable[[Site, str, Fields], str]
TURNS = {name: number for number, name in NAMES.items()}


def replay(site: Site, uid: str, fields: Fields) -> str:
    """Measure a study again."""
    operations.replay(site.ledger, site.spool, uid, fields.get("cause", ""))
    return "The study is measured again."


def release(site: Site, uid: str, fields: Fields) -> str:
    """Let a study out of quarantine."""
    operations.release(site.ledger, uid, fields.get("cause", ""))
    return "The study is judged again."


def delete(site: Site, uid: str, fields: Fields) -> str:
    """Delete the files of a study in quarantine."""
    _, count = operations.delete(site.ledger, site.spool, site.settings, uid, fields.get("cause", ""))
    return f"{count} instances were deleted."


def priority(site: Site, uid: str, fields: Fields) -> str:
    """Change the turn of a study."""
    turn = fields.get("turn", "")
    if turn not in TURNS:
        raise WrongRequest(f"A turn is one of {', '.join(TURNS)}.")
    operations.prioritise(site.ledger, uid, TURNS[turn], fields.get("cause", ""))
    return f"The study is {turn} now."


def facts(site: Site, uid: str, fields: Fields) -> str:
    """Enter facts about the patient."""
    entered, faults = read_fields({name: fields.get(name, "") for name in FACTS})
    if faults:
        raise WrongRequest("; ".join(f"{FACTS[one.column][0]} {one.what}" for one in faults) + ".")
    operations.enter_facts(site.ledger, uid, entered, fields.get("cause", ""))
    return "The facts are entered, and the study is judged again."


def pause(site: Site, stage: str, fields: Fields) -> str:
    """Stop a queue."""
    operations.pause(site.ledger, _stage(stage), fields.get("cause", ""))
    return f"{stage} is paused."


def resume(site: Site, stage: str, fields: Fields) -> str:
    """Let a queue go on."""
    del fields
    operations.resume(site.ledger, _stage(stage))
    return f"{stage} goes on."


def echo(site: Site, name: str, fields: Fields) -> str:
    """Ask a destination whether it answers."""
    del fields
    found = echoes.ask(site.ledger, site.settings, name)
    return f"{name} answered after {found.seconds:.2f} s." if not found.fault else f"{name}: {found.fault}"


def user_add(site: Site, name: str, fields: Fields) -> str:
    """Make an account."""
    name = name or fields.get("name", "").strip()
    role = fields.get("role", "")
    if role not in list(Role):
        raise WrongRequest(f"A role is one of {', '.join(Role)}.")
    accounts.add(site.ledger, name, Role(role), fields.get("password", ""))
    return f"{name} is {role}."


def user_remove(site: Site, name: str, fields: Fields) -> str:
    """Remove an account."""
    del fields
    accounts.remove(site.ledger, name)
    return f"{name} is removed."


def user_password(site: Site, name: str, fields: Fields) -> str:
    """Give an account another password."""
    accounts.change_password(site.ledger, name, fields.get("password", ""))
    return f"{name} has another password."


def by_form(order: Order, name: str, back: str) -> Callable[[Request, Person], Response]:
    """Return an endpoint that carries an order out on what `name` says in the path, and leads back."""

    def carry_out(request: Request, person: Person) -> Response:
        site = site_of(request)
        said = order(site, request.path_params.get(name, ""), fields_of(request))
        site.tell(person.digest, said)
        return RedirectResponse(back.format(**request.path_params), 303)

    return carry_out


def _stage(name: str) -> Stage:
    if name not in list(Stage):
        raise WrongRequest(f"A queue is one of {', '.join(Stage)}.")
    return Stage(name)
