from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from node.core.ledger import Ledger, arrivals, studies
from node.core.ledger.moves import move_study
from node.core.ledger.tables import Study, StudyFlag
from node.core.reasons import Flag
from node.core.records import Instance
from node.core.states import IllegalMove, StudyState

Store = Callable[..., list[str]]

QUIET, IDLE = timedelta(seconds=60), timedelta(seconds=100)


def quiet(ledger: Ledger) -> list[str]:
    with ledger.transaction() as session:
        return [study.uid for study in studies.quiet_studies(session, QUIET, IDLE)]


def close(ledger: Ledger, association: str = "a1") -> None:
    with ledger.transaction() as session:
        studies.close_association(session, association, "released")


def state_of(ledger: Ledger, study_uid: str = "1.2.3") -> StudyState:
    with ledger.transaction() as session:
        return session.get_one(Study, study_uid).state


def moves_of(ledger: Ledger, study_uid: str = "1.2.3") -> list[tuple[str | None, str, str]]:
    with ledger.transaction() as session:
        return [(event.old, event.new, event.cause) for event in studies.events_of(session, "study", study_uid)]


def test_a_study_is_quiet_after_the_time_and_not_before(ledger: Ledger, clock: Any, store: Store) -> None:
    """The quiet time counts from the last instance, not from the first."""
    store()
    close(ledger)
    clock.forward(40)
    store(association="a2")
    close(ledger, "a2")
    clock.forward(59)
    assert quiet(ledger) == []
    clock.forward(1)
    assert quiet(ledger) == ["1.2.3"]


def test_an_open_association_keeps_its_studies_open(ledger: Ledger, clock: Any, store: Store) -> None:
    """A slow sender's study is not complete while its association is open; another sender's study is."""
    store()
    store("1.2.4", association="a2", series="1.2.4.1")
    close(ledger, "a2")
    clock.forward(60)
    assert quiet(ledger) == ["1.2.4"]
    close(ledger)
    assert sorted(quiet(ledger)) == ["1.2.3", "1.2.4"]


def test_an_association_that_fell_silent_counts_as_gone(ledger: Ledger, clock: Any, store: Store) -> None:
    """A listener that was killed leaves its associations open in the ledger: they do not hold a study for ever."""
    store()
    clock.forward(99)
    assert quiet(ledger) == []
    clock.forward(2)
    assert quiet(ledger) == ["1.2.3"]


@pytest.mark.parametrize("state", [StudyState.COMPLETE, StudyState.NOT_ANALYSABLE, StudyState.QUARANTINED])
def test_a_further_instance_opens_the_study_again(ledger: Ledger, clock: Any, store: Store, state: StudyState) -> None:
    """Late slices are not lost: whatever was said of the study, it receives again, without its old reason."""
    seen = store()
    with ledger.transaction() as session:
        assert studies.conclude(session, "1.2.3", seen, state, "cause", reason="reason")
    assert state_of(ledger) is state
    store(association="a2")
    assert state_of(ledger) is StudyState.RECEIVING
    with ledger.transaction() as session:
        assert session.get_one(Study, "1.2.3").reason is None
    assert moves_of(ledger) == [
        (None, "receiving", "first instance"),
        ("receiving", state.value, "cause"),
        (state.value, "receiving", "a further instance came"),
    ]


def test_a_study_that_grew_is_not_concluded(ledger: Ledger, store: Store) -> None:
    """What was judged by fewer instances than there are is not said: the next round judges anew."""
    seen = store(instances=3)
    late = store(association="a2")
    with ledger.transaction() as session:
        assert not studies.conclude(session, "1.2.3", seen, StudyState.COMPLETE, "cause")
    assert state_of(ledger) is StudyState.RECEIVING
    assert len(moves_of(ledger)) == 1
    with ledger.transaction() as session:
        assert studies.conclude(session, "1.2.3", [*late, *seen], StudyState.COMPLETE, "cause")
    assert state_of(ledger) is StudyState.COMPLETE


def test_a_study_is_concluded_once(ledger: Ledger, store: Store) -> None:
    """A second conclusion of the same content changes nothing and writes no event."""
    seen = store()
    for expected in (True, False):
        with ledger.transaction() as session:
            assert studies.conclude(session, "1.2.3", seen, StudyState.COMPLETE, "cause") is expected
    assert len(moves_of(ledger)) == 2
    with ledger.transaction() as session:
        assert not studies.conclude(session, "9.9", [], StudyState.COMPLETE, "cause")


def test_an_illegal_move_raises_and_writes_nothing(ledger: Ledger, store: Store) -> None:
    """The table holds in the ledger too, and a refused move leaves neither a state nor an event."""
    seen = store()
    with ledger.transaction() as session:
        studies.conclude(session, "1.2.3", seen, StudyState.QUARANTINED, "cause")
    before = moves_of(ledger)
    with pytest.raises(IllegalMove), ledger.transaction() as session:
        move_study(session, session.get_one(Study, "1.2.3"), StudyState.COMPLETE, "never")
    assert state_of(ledger) is StudyState.QUARANTINED
    assert moves_of(ledger) == before


def test_events_carry_the_time(ledger: Ledger, clock: Any, store: Store) -> None:
    """The audit trail says when, on the ledger's clock."""
    seen = store()
    clock.forward(30)
    with ledger.transaction() as session:
        studies.conclude(session, "1.2.3", seen, StudyState.COMPLETE, "cause")
    with ledger.transaction() as session:
        times = [event.at for event in studies.events_of(session, "study", "1.2.3")]
    assert times[1] - times[0] == timedelta(seconds=30)


def test_an_instance_comes_back_as_it_was_entered(ledger: Ledger, store: Store) -> None:
    """The record that crosses stages is the row, and instances come in the order of their UIDs."""
    uids = store(instances=12)
    with ledger.transaction() as session:
        rows = studies.instances_of(session, "1.2.3")
        records = [studies.record_of(row) for row in rows]
    assert [record.sop_instance_uid for record in records] == sorted(uids)
    assert records[0].path == f"instances/{records[0].sop_instance_uid}.dcm"
    assert {row.calling_ae_title for row in rows} == {"SCANNER"}


def test_neighbours_are_other_studies_with_the_same_series(ledger: Ledger, store: Store) -> None:
    """One instance of each study that shares a series UID is found, and of no other study."""
    store("1.2.3", 2, series="1.5")
    other = store("1.2.4", 2, series="1.5")
    store("1.2.5", 2, series="1.6")
    with ledger.transaction() as session:
        assert [row.sop_instance_uid for row in studies.neighbours_of(session, "1.2.3")] == [min(other)]
        assert studies.neighbours_of(session, "1.2.5") == []


def test_studies_are_found_by_the_beginning_of_their_uid(ledger: Ledger, clock: Any, store: Store) -> None:
    """The latest come first; `%` and `_` of a question are no wildcards."""
    store("1.2.3")
    clock.forward(1)
    store("1.2.4", series="1.2.4.1")
    with ledger.transaction() as session:
        assert [study.uid for study in studies.find_studies(session)] == ["1.2.4", "1.2.3"]
        assert [study.uid for study in studies.find_studies(session, "1.2.3")] == ["1.2.3"]
        assert studies.find_studies(session, "%") == []
        assert studies.last_activity(session) == clock()


def test_a_study_waits_until_it_is_concluded(ledger: Ledger, clock: Any, store: Store) -> None:
    """Shown is what it waits for now, and since when it waits; a conclusion that fails changes nothing."""
    uids = store(instances=2)
    with ledger.transaction() as session:
        studies.wait(session, "1.2.3", "a slice")
        since = clock()
        clock.forward(60)
        studies.wait(session, "1.2.3", "two slices")
    with ledger.transaction() as session:
        assert not studies.conclude(session, "1.2.3", uids[:1], StudyState.COMPLETE, "quiet")
        [flag] = session.query(StudyFlag)
        assert (flag.code, flag.detail, flag.at) == (Flag.WAITING, "two slices", since)
        assert studies.conclude(session, "1.2.3", uids, StudyState.COMPLETE, "quiet")
        assert session.query(StudyFlag).all() == []


def test_who_sent_something_again_is_a_sender(ledger: Ledger, store: Store) -> None:
    """A variant's sender counts for the quiet time, though not for where the results go."""
    [uid] = store()
    store(association="a2", calling="PACS ")
    with ledger.transaction() as session:
        again = Instance(uid, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", "bb", "x")
        arrival = arrivals.Arrival(again, "1.2.3", "1.2.3.1", "a2", "CORRECTOR", "127.0.0.1")
        arrivals.keep_beside(session, studies.instances_of(session, "1.2.3")[0], arrival)
    with ledger.transaction() as session:
        assert studies.senders(session, "1.2.3") == {"SCANNER", "PACS", "CORRECTOR"}
        assert studies.callers(session, "1.2.3") == {"SCANNER", "PACS"}
