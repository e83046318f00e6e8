"""Storage commitment: what we ask, what we understand of every answer, and what comes of it in the ledger."""

import time
from collections.abc import Callable

import pytest
from pacs import COMPLETE, Pacs, Send, report_of, serving
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context

from node.core import commitment
from node.core.errors import Unavailable
from node.core.peer import Peer
from node.core.reasons import Outage

CT = [build_context(CTImageStorage, ExplicitVRLittleEndian)]
TRANSACTION = "2.25.4711"
OBJECTS = [(CTImageStorage, "1.2.3.1"), (CTImageStorage, "1.2.3.2")]
PATIENCE_S = 30.0

Ask = Callable[..., commitment.Report | None]


@pytest.fixture
def pacs(free_port: Callable[[], int]) -> Pacs:
    """A PACS that offers the service; what it reports, a test says."""
    return Pacs(free_port(), on_commitment=lambda _request, _send: None)


@pytest.fixture
def ask(pacs: Pacs) -> Ask:
    """Return a function that asks the PACS to keep two objects."""

    def run(wait_s: float = PATIENCE_S) -> commitment.Report | None:
        with serving(pacs, CT):
            peer = Peer("PACS", "127.0.0.1", pacs.port, "NODE")
            report = commitment.ask(peer, TRANSACTION, OBJECTS, wait_s)
            until = time.monotonic() + PATIENCE_S
            while not pacs.ended and time.monotonic() < until:
                time.sleep(0.01)
            return report

    return run


def test_what_is_asked(pacs: Pacs, ask: Ask) -> None:
    """Action 1 with the transaction and each object's class and instance; then the association is released."""
    assert ask(wait_s=0.1) is None
    ((action_type, request),) = pacs.asked
    assert action_type == 1
    assert request.TransactionUID == TRANSACTION
    items = request.ReferencedSOPSequence
    assert [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in items] == OBJECTS
    assert pacs.ended == ["released"]


def test_a_report_on_the_same_association(pacs: Pacs, ask: Ask) -> None:
    """Both are kept; the report is answered with success and waited for no longer than it takes."""
    pacs.on_commitment = lambda request, send: send(*report_of(request))
    begun = time.monotonic()
    report = ask()
    assert report == commitment.Report(TRANSACTION, frozenset({"1.2.3.1", "1.2.3.2"}), {})
    assert time.monotonic() - begun < PATIENCE_S
    assert (pacs.answers, pacs.ended) == ([0x0000], ["released"])


def test_a_report_of_failures(pacs: Pacs, ask: Ask) -> None:
    """One is kept, the other is not, with the reason in words."""
    pacs.on_commitment = lambda request, send: send(*report_of(request, failed=1))
    failed = {"1.2.3.2": "0112, no such object instance"}
    assert ask() == commitment.Report(TRANSACTION, frozenset({"1.2.3.1"}), failed)


def test_an_object_in_both_lists_is_not_kept(pacs: Pacs, ask: Ask) -> None:
    """A report that contradicts itself is read as the worse."""

    def contradict(request: Dataset, send: Send) -> None:
        event_type, report = report_of(request, failed=1)
        report.ReferencedSOPSequence = [*report.ReferencedSOPSequence, *report.FailedSOPSequence]
        send(event_type, report)

    pacs.on_commitment = contradict
    report = ask()
    assert report is not None
    assert report.committed == {"1.2.3.1"}


def test_a_report_that_comes_twice(pacs: Pacs, ask: Ask) -> None:
    """The second changes nothing, and the association is released all the same."""

    def twice(request: Dataset, send: Send) -> None:
        event_type, report = report_of(request)
        send(event_type, report)
        send(event_type, report)

    pacs.on_commitment = twice
    report = ask()
    assert report is not None
    assert len(report.committed) == 2


def test_many_reports_in_their_time(pacs: Pacs, ask: Ask) -> None:
    """Whenever a report comes, between the answer and the release too, the association ends."""
    for delay in (0.0, 0.02, 0.09, 0.1, 0.11):

        def late(request: Dataset, send: Send, delay: float = delay) -> None:
            time.sleep(delay)
            send(*report_of(request))

        pacs.on_commitment = late
        ask(wait_s=0.1)
        pacs.ended.clear()


def test_a_report_of_another_transaction(pacs: Pacs, ask: Ask) -> None:
    """It is answered and not taken for ours."""

    def other(request: Dataset, send: Send) -> None:
        event_type, report = report_of(request)
        report.TransactionUID = "2.25.1"
        send(event_type, report)

    pacs.on_commitment = other
    assert ask(wait_s=1.0) is None
    assert pacs.answers == [0x0000]


@pytest.mark.parametrize("event_type", [COMPLETE, 9], ids=["no transaction", "no such event"])
def test_a_report_that_is_none(pacs: Pacs, ask: Ask, event_type: int) -> None:
    """It is answered as an invalid argument, and we wait on."""

    def nonsense(request: Dataset, send: Send) -> None:
        _, report = report_of(request)
        if event_type == COMPLETE:
            del report.TransactionUID
        send(event_type, report)

    pacs.on_commitment = nonsense
    assert ask(wait_s=1.0) is None
    assert pacs.answers == [0x0115]


def refused(ask: Ask) -> tuple[Outage, str]:
    with pytest.raises(Unavailable) as caught:
        ask(wait_s=0.1)
    return caught.value.code, caught.value.detail


def test_a_service_that_is_not_offered(pacs: Pacs, ask: Ask) -> None:
    """No context is accepted: said in words, and told apart from a PACS that is away."""
    pacs.on_commitment = None
    code, detail = refused(ask)
    assert code is Outage.COMMITMENT_REFUSED
    assert "Storage Commitment Push Model SOP Class: abstract syntax not supported" in detail


def test_a_request_that_is_not_taken(pacs: Pacs, ask: Ask) -> None:
    """The status of the request is told."""
    pacs.action_status = 0x0110
    assert refused(ask) == (Outage.COMMITMENT_REFUSED, "N-ACTION answered 0110")


def test_a_pacs_that_breaks_off(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort instead of an answer is none: the PACS may or may not have taken the request."""
    monkeypatch.setattr(Pacs, "on_action", lambda _pacs, event: event.assoc.abort())
    assert ask() is None


def test_nobody_is_there(free_port: Callable[[], int]) -> None:
    """A closed port is no refusal."""
    with pytest.raises(Unavailable) as caught:
        commitment.ask(Peer("PACS", "127.0.0.1", free_port(), "NODE"), TRANSACTION, OBJECTS)
    assert caught.value.code is Outage.DESTINATION_UNREACHABLE
