import os
import signal
import threading

import pytest

from node.core.signals import answered, until_told

ENDINGS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", ENDINGS)
def test_the_first_signal_is_told_and_the_second_interrupts(number: signal.Signals) -> None:
    """A long command may end its piece of work; whoever is impatient says so once more."""
    with until_told() as told:
        assert not told.is_set()
        os.kill(os.getpid(), number)
        assert told.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDINGS)
def test_what_may_end_anywhere_is_interrupted_at_once(number: signal.Signals) -> None:
    """The first one sets the event and interrupts."""
    with until_told(at_once=True) as told, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert told.is_set()


def test_signals_are_answered_as_before_after_the_block() -> None:
    """Whether it ended by itself or by an error."""
    before = [signal.getsignal(number) for number in ENDINGS]

    def fail() -> None:
        with answered(signal.SIG_IGN, *ENDINGS):
            assert [signal.getsignal(number) for number in ENDINGS] == [signal.SIG_IGN, signal.SIG_IGN]
            os.kill(os.getpid(), signal.SIGTERM)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    with until_told():
        assert [signal.getsignal(number) for number in ENDINGS] != before
    assert [signal.getsignal(number) for number in ENDINGS] == before


def test_a_thread_is_sent_no_signal() -> None:
    """Only the main thread can be told: another one gets an event that nobody sets."""
    told: list[bool] = []

    def run() -> None:
        with until_told() as event:
            told.append(event.is_set())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert told == [False]
