"""Who may call, that whoever may not stands in the audit trail with the reason, and how much room a scanner gets."""

import time
from collections.abc import Callable

import pytest

from node import rejections
from node.core.errors import Unavailable
from node.core.ledger import audit
from node.core.ledger.audit import AuditEvent, Rejection
from node.core.ledger.tables import Audit
from node.core.peer import Peer
from node.core.settings import CallingPeer
from node.rejections import Rejections

from .conftest import Site
from .sender import CALLER

HOST = "127.0.0.1"
OpenSite = Callable[..., Site]


def _refused(site: Site, calling: str = "STRANGER", called: str = "NODE") -> None:
    with pytest.raises(Unavailable, match="association rejected"):
        Peer(called, HOST, site.port, calling).echo()


def _trail(site: Site, rows: int = 1, limit_s: float = 20) -> list[Audit]:
    """Return the rejections in the trail, when there are so many."""
    until = time.monotonic() + limit_s
    while True:
        with site.ledger.transaction() as session:
            found = [row for row in audit.rows(session) if audit.kind_of(row) is AuditEvent.REJECTED.value]
        if len(found) >= rows or time.monotonic() > until:
            return found
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("calling", "called", "hosts", "reason"),
    [
        ("STRANGER", "NODE", (HOST,), Rejection.CALLER_UNKNOWN),
        (CALLER, "NODE", ("192.0.2.7",), Rejection.HOST_NOT_ALLOWED),
        (CALLER, "OTHER", (HOST,), Rejection.CALLED_UNKNOWN),
    ],
)
def test_a_caller_that_is_not_allowed_is_audited(
    open_site: OpenSite, calling: str, called: str, hosts: tuple[str, ...], reason: Rejection
) -> None:
    """An AE title, a host, a called AE title that the settings do not name: rejected, with the reason in the trail."""
    site = open_site(calling=(CallingPeer(ae_title=CALLER, hosts=hosts),))
    _refused(site, calling, called)
    (row,) = _trail(site)
    assert row.detail == f"{reason}: {reason.sentence}"
    assert (row.event, row.action, row.outcome) == ("110113/110126", "E", 8)
    assert (row.user_id, row.host, row.study_uid) == (calling, HOST, None)


def test_nobody_may_call_by_default(open_site: OpenSite) -> None:
    """A site that names no caller lets nobody in."""
    site = open_site(calling=())
    _refused(site, CALLER)
    assert [row.detail.partition(":")[0] for row in _trail(site)] == [Rejection.CALLER_UNKNOWN]


def test_a_good_caller_is_no_rejection(site: Site) -> None:
    """Whoever is let in leaves no such row."""
    site.peer.echo()
    assert _trail(site, rows=0) == []


def test_a_flood_leaves_two_rows(site: Site) -> None:
    """Of thirty rejections the first is written at once, and one row counts the others when the listener ends."""
    for _ in range(30):
        _refused(site)
    site.listener.stop()
    first, others = _trail(site, 2)
    assert first.detail == f"{Rejection.CALLER_UNKNOWN}: {Rejection.CALLER_UNKNOWN.sentence}"
    assert others.detail.startswith("caller-unknown: 29 more in ")


def test_counts_are_written_as_their_time_comes(site: Site) -> None:
    """The count of a host and reason is written after a period without anybody's doing; then it begins anew."""
    watch = Rejections(site.ledger, period_s=0.2)
    watch.start()
    for _ in range(3):
        watch.note(Rejection.CALLER_UNKNOWN, host="192.0.2.1", calling_ae_title="A")
    assert [row.detail.split(" more")[0] for row in _trail(site, 2)][1] == "caller-unknown: 2"
    watch.stop()
    assert len(_trail(site, 2)) == 2


def test_a_flood_from_many_hosts_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of hosts, all others are counted as one."""
    monkeypatch.setattr(rejections, "MOST_HOSTS", 3)
    watch = Rejections(site.ledger)
    for number in range(50):
        watch.note(Rejection.HOST_NOT_ALLOWED, host=f"192.0.2.{number}", calling_ae_title="A")
    watch.stop()
    found = _trail(site, 5)
    assert [row.host for row in found] == ["192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3", "elsewhere"]
    assert "46 more" in found[-1].detail


def test_the_door_refuses_while_the_ledger_is_away(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a trail a stranger is rejected all the same, and the log has what the trail could not take."""
    with site.ledger.transaction() as session:
        session.connection().exec_driver_sql("ALTER TABLE audit RENAME TO gone")
    _refused(site)
    until, said = time.monotonic() + 20, ""
    while "audit-not-written" not in said and time.monotonic() < until:
        said += "".join(capfd.readouterr())
        time.sleep(0.02)
    assert "caller-unknown" in said
    assert "STRANGER" in said
