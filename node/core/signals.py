"""Signals that are answered for the length of a block, and as before after it.

Comes in: numbers and what answers them. Goes out: a block. What can go wrong: nothing; a thread that is not the main
one is sent no signal. Next: the commands that last, which end by `until_told`.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDINGS = (signal.SIGTERM, signal.SIGINT)

Answer = Callable[[int, FrameType | None], Any] | signal.Handlers


@contextmanager
def answered(answer: Answer, *numbers: signal.Signals) -> Iterator[None]:
    """Answer these signals in this way while the block lasts."""
    before = {number: signal.signal(number, answer) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def until_told(*, at_once: bool = False) -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; a second one raises `KeyboardInterrupt`, as `at_once` the first."""
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        again = told.is_set()
        told.set()
        if again or at_once:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    with answered(tell, *_ENDINGS):
        yield told
