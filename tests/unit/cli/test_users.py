"""The commands on accounts, on a study's turn and on a patient's facts: what the page calls too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.core.ledger import Ledger
from node.core.ledger.tables import Account


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an empty ledger, as the command line finds it."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}")
    ledger.upgrade()
    ledger.close()
    return tmp_path / "home"


def test_an_account_from_its_first_to_its_last_day(crlm_node: Callable[..., Any], home: Path, tmp_path: Path) -> None:
    """Made, listed, given another password, removed; the ledger holds hashes, and nothing prints a password."""
    password = tmp_path / "password"
    password.write_text("correct horse battery\n")
    assert "no account yet" in crlm_node("user", "list").out
    done = crlm_node("user", "add", "anna", "--role", "operator", "--password-file", password)
    assert (done.code, done.out) == (0, "anna is operator\n")
    ledger = Ledger(f"sqlite:///{home / 'ledger.sqlite'}")
    with ledger.reading() as session:
        first = session.query(Account).one().password
    assert first.startswith("$argon2id$")
    password.write_text("another horse battery")
    assert crlm_node("user", "password", "anna", "--password-file", password).code == 0
    with ledger.reading() as session:
        assert session.query(Account).one().password != first
    ledger.close()
    listed = crlm_node("user", "list").out
    assert listed.split()[:2] == ["anna", "operator"]
    again = crlm_node("user", "add", "anna", "--password-file", password)
    assert (again.code, again.sentence) == (1, "there is an account anna already")
    assert crlm_node("user", "remove", "anna").code == 0
    assert crlm_node("user", "remove", "anna").sentence == "there is no account anna"


@pytest.mark.parametrize(
    ("name", "password", "code"), [("anna", "short", 2), ("an na", "x" * 12, 1), ("", "x" * 12, 1)]
)
def test_an_account_that_cannot_be(
    crlm_node: Callable[..., Any], home: Path, tmp_path: Path, name: str, password: str, code: int
) -> None:
    """A weak password and a name that is none are told, and nothing is made."""
    file = tmp_path / "password"
    file.write_text(password)
    assert crlm_node("user", "add", name, "--password-file", file).code == code
    assert "no account yet" in crlm_node("user", "list").out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("priority", "1.2.3", "stat"), 1, "no study 1.2.3 is known here"),
        (("facts", "enter", "1.2.3", "--fact", "height_m=1.7"), 1, "no study 1.2.3 is known here"),
        (("facts", "enter", "1.2.3", "--fact", "height=1.7"), 2, "--fact is one of height_m, "),
        (("facts", "enter", "1.2.3", "--fact", "height_m=tall"), 2, "height_m: is no number"),
        (("facts", "enter", "1.2.3", "--fact", "height_m=17"), 1, "a height is between 1.0 and 2.3 m"),
    ],
)
def test_orders_that_do_not_fit(
    crlm_node: Callable[..., Any], home: Path, words: tuple[str, ...], code: int, sentence: str
) -> None:
    """Each is one sentence that says why."""
    done = crlm_node(*words)
    assert done.code == code
    assert done.sentence.startswith(sentence)
