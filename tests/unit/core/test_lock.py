"""The lock that one process of a kind holds."""

import os
from pathlib import Path

import pytest

from node.core.lock import Held, alone, is_held


def test_a_second_holder_is_refused_and_told_the_first(tmp_path: Path) -> None:
    """The lock is of the open file, not of the process: the same one is refused too, and may come after."""
    lock = tmp_path / "home" / "lock"
    refused = pytest.raises(Held, match=rf"A cook works here already \(process {os.getpid()}\)\.")
    with alone(lock, "A cook works here"), refused, alone(lock, "A cook works here already"):
        pass
    with alone(lock, "A cook works here"):
        pass


def test_who_asks_whether_it_is_held_takes_nothing(tmp_path: Path) -> None:
    """Asking makes no file and holds up nobody; a lock whose holder has ended is free."""
    lock = tmp_path / "lock"
    assert not is_held(lock)
    assert not lock.exists()
    with alone(lock, "A cook works here"):
        assert is_held(lock)
    assert not is_held(lock)
