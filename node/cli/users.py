"""The commands on accounts of the page."""

from pathlib import Path
from typing import Annotated

import typer

from node import accounts as orders
from node.cli.application import FILE, WrongUse, group, ledger_of, say, settings_in_force
from node.core.ledger import accounts
from node.core.ledger.accounts import Role
from node.passwords import WeakPassword

user_app = group("user", "Add, list and remove accounts of the page and the API.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.", show_default=False)]
PasswordFile = Annotated[Path | None, typer.Option(help="File with the password, in place of asking for it.", **FILE)]


@user_app.command("add")
def user_add(
    name: Name,
    role: Annotated[
        Role, typer.Option(help="What it may do: look; also order; also look after accounts.", show_default=True)
    ] = Role.READER,
    password_file: PasswordFile = None,
) -> None:
    """Make an account, and say what it may do."""
    ledger = ledger_of(settings_in_force())
    try:
        orders.add(ledger, name, role, _password(password_file))
    except WeakPassword as error:
        raise WrongUse(str(error)) from error
    say(f"{name} is {role}")


@user_app.command("list")
def user_list() -> None:
    """Show the accounts with their roles."""
    with ledger_of(settings_in_force()).reading() as session:
        found = accounts.every(session)
    for one in found:
        say(f"{one.name:<24} {one.role:<14} password of {one.changed_at:%Y-%m-%d}")
    if not found:
        say("There is no account yet: crlm-node user add NAME --role administrator")


@user_app.command("remove")
def user_remove(name: Name) -> None:
    """Remove an account, and sign it out."""
    orders.remove(ledger_of(settings_in_force()), name)
    say(f"{name} is removed")


@user_app.command("password")
def user_password(name: Name, password_file: PasswordFile = None) -> None:
    """Change the password of an account, and sign it out everywhere."""
    ledger = ledger_of(settings_in_force())
    try:
        orders.change_password(ledger, name, _password(password_file))
    except WeakPassword as error:
        raise WrongUse(str(error)) from error
    say(f"{name} has another password")


def _password(file: Path | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password
