from collections.abc import Callable
from typing import Any

import pytest
from pydicom import Dataset
from structlog.testing import capture_logs

from node.assembly import Assembly
from node.content import StudyContent
from node.core.errors import NotAnalysable, Unavailable, Untrusted
from node.core.ledger import Ledger, jobs, studies
from node.core.ledger.tables import Study, StudyFlag
from node.core.reasons import Flag, Outage, StudyRefusal
from node.core.records import Instance
from node.core.settings import CallingPeer, Settings
from node.core.spool import Spool
from node.core.states import JobState, StudyState

Datasets = Callable[..., list[Dataset]]
Receive = Callable[..., list[Instance]]


class Taker:
    """Stands where selection and handoff stand, and keeps what it was handed; or raises."""

    def __init__(self) -> None:
        self.contents: list[StudyContent] = []
        self.raises: dict[str, Exception] = {}

    def __call__(self, content: StudyContent) -> None:
        """Take a study."""
        self.contents.append(content)
        if content.study_instance_uid in self.raises:
            raise self.raises[content.study_instance_uid]

    @property
    def uids(self) -> list[str]:
        """The studies that were handed on."""
        return [content.study_instance_uid for content in self.contents]


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def assembly(ledger: Ledger, clock: Any, spool: Spool, settings: Settings, taker: Taker) -> Assembly:
    del clock
    return Assembly(ledger, spool, settings, taker)


def shown(ledger: Ledger, study_uid: str = "1.2.3") -> tuple[StudyState, str | None]:
    with ledger.transaction() as session:
        study = session.get_one(Study, study_uid)
        return study.state, study.reason


def last_cause(ledger: Ledger, study_uid: str = "1.2.3") -> str:
    with ledger.transaction() as session:
        return studies.events_of(session, "study", study_uid)[-1].cause


def test_a_complete_study_is_handed_on_whole(
    assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """All instances with their headers, who sent them and where they lie; a study that is not quiet is left alone."""
    taken = receive(series(count=3), association="a1")
    assembly.round()
    assert taker.uids == []
    clock.forward(1)
    assembly.round()
    (content,) = taker.contents
    headers = content.series[0].headers
    assert [one.instance for one in headers] == taken
    assert {one.calling_ae_title for one in headers} == {"SCANNER"}
    assert headers[2].plane is not None
    assert headers[2].plane.position_mm == (0.0, 0.0, 6.0)


def test_an_open_association_is_waited_for(
    assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """A study is not complete while somebody may be sending more of it."""
    receive(series(count=3), open_=True)
    clock.forward(1)
    assembly.round()
    assert taker.uids == []


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"PatientID": lambda index: f"P{index // 2}"}, StudyRefusal.PATIENT_CONFLICT),
        ({"PatientName": lambda index: f"Doe^{'Jane' if index else 'John'}"}, StudyRefusal.PATIENT_CONFLICT),
    ],
)
def test_two_patients_quarantine_the_study(
    ledger: Ledger,
    assembly: Assembly,
    clock: Any,
    series: Datasets,
    receive: Receive,
    taker: Taker,
    attributes: dict[str, Any],
    code: StudyRefusal,
) -> None:
    """The evidence is kept, the reason shown and written as an event without patient data; nothing is handed on."""
    receive(series(count=4, **attributes))
    clock.forward(1)
    assembly.round()
    assert taker.uids == []
    assert shown(ledger) == (StudyState.QUARANTINED, code)
    assert code.sentence in last_cause(ledger)
    assert "Doe" not in last_cause(ledger)
    assert "P1" not in last_cause(ledger)


def test_another_patients_study_with_the_same_series_is_quarantined(
    ledger: Ledger, assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """Slices of two patients under one series UID are found also where their Study UIDs differ."""
    receive(series("1.5", 3, study="1.2.3"))
    clock.forward(1)
    assembly.round()
    other = series("1.5", 3, study="1.2.4", PatientID="P2", SOPInstanceUID=lambda index: f"1.6.{index}")
    receive(other, association="a2")
    clock.forward(1)
    assembly.round()
    assert taker.uids == ["1.2.3"]
    assert shown(ledger, "1.2.4") == (StudyState.QUARANTINED, StudyRefusal.PATIENT_CONFLICT)


def test_one_patients_two_studies_may_share_a_series_uid(
    assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """A reused series UID of the same patient is odd, and no second patient."""
    receive(series("1.5", 3, study="1.2.3"))
    receive(series("1.5", 3, study="1.2.4", SOPInstanceUID=lambda index: f"1.6.{index}"), association="a2")
    clock.forward(1)
    assembly.round()
    assert sorted(taker.uids) == ["1.2.3", "1.2.4"]


def test_a_file_that_was_changed_is_not_trusted(
    ledger: Ledger, assembly: Assembly, clock: Any, spool: Spool, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """A stored file that is not the one that was received quarantines its study; other studies go on."""
    (first, *_) = receive(series(count=3))
    receive(series("1.2.4.1", 3, study="1.2.4"), association="a2")
    path = spool.file(first)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    clock.forward(1)
    assembly.round()
    assert shown(ledger) == (StudyState.QUARANTINED, StudyRefusal.INPUT_UNTRUSTED)
    assert taker.uids == ["1.2.4"]


def test_a_file_that_is_gone_ends_the_study(
    ledger: Ledger, assembly: Assembly, clock: Any, spool: Spool, series: Datasets, receive: Receive
) -> None:
    """An incomplete study is not measured in part."""
    (first, *_) = receive(series(count=3))
    spool.file(first).unlink()
    clock.forward(1)
    assembly.round()
    assert shown(ledger) == (StudyState.NOT_ANALYSABLE, StudyRefusal.INPUT_INCOMPLETE)


def test_a_stored_file_that_no_longer_parses_ends_the_study(
    ledger: Ledger, assembly: Assembly, clock: Any, spool: Spool, series: Datasets, receive: Receive
) -> None:
    """A file with the right digest that this version cannot read is a coded reason, not a fault of the program."""
    (first, *_) = receive(series(count=3))
    spool.write(first.path, b"no DICOM")
    with ledger.transaction() as session:
        studies.instances_of(session, "1.2.3")[0].digest = spool.write(first.path, b"no DICOM")
    clock.forward(1)
    assembly.round()
    assert shown(ledger) == (StudyState.NOT_ANALYSABLE, StudyRefusal.PIXELS_UNREADABLE)


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (
            NotAnalysable(StudyRefusal.TOO_FEW_SLICES, "1 slice"),
            StudyState.NOT_ANALYSABLE,
            StudyRefusal.TOO_FEW_SLICES,
        ),
        (Untrusted(StudyRefusal.INPUT_UNTRUSTED), StudyState.QUARANTINED, StudyRefusal.INPUT_UNTRUSTED),
        (ZeroDivisionError("Doe^Jane"), StudyState.QUARANTINED, Outage.STEWARD_FAILED),
        (KeyError("Doe^Jane"), StudyState.QUARANTINED, Outage.STEWARD_FAILED),
    ],
)
def test_what_a_study_raises_ends_that_study_alone(
    ledger: Ledger,
    assembly: Assembly,
    clock: Any,
    series: Datasets,
    receive: Receive,
    taker: Taker,
    error: Exception,
    state: StudyState,
    reason: str,
) -> None:
    """A refusal or a fault of the program is visible, is not tried for ever, tells no value, and stops nobody else."""
    receive(series(count=3))
    clock.forward(1)
    receive(series("1.2.4.1", 3, study="1.2.4"), association="a2")
    clock.forward(1)
    taker.raises["1.2.3"] = error
    with capture_logs() as logs:
        assembly.round()
        assembly.round()
    assert taker.uids == ["1.2.3", "1.2.4", "1.2.4"]
    assert shown(ledger) == (state, reason)
    assert "Doe" not in last_cause(ledger)
    assert "Doe" not in repr(logs)


def test_a_fault_of_the_program_is_logged_with_its_place(
    assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """Whoever mends the program finds the kind of the fault and the line that raised it."""
    receive(series(count=3))
    clock.forward(1)
    taker.raises["1.2.3"] = ZeroDivisionError("Doe^Jane")
    with capture_logs() as logs:
        assembly.round()
    (entry,) = [entry for entry in logs if entry["event"] == "program-failed"]
    assert entry["error"] == "ZeroDivisionError"
    assert entry["where"][-1].startswith("test_assembly.py:")
    assert entry["where"][-1].endswith("__call__")


def test_an_outage_of_one_study_is_tried_again_later(
    ledger: Ledger,
    assembly: Assembly,
    clock: Any,
    series: Datasets,
    receive: Receive,
    taker: Taker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A study whose files cannot be read now waits with a pause, its state unchanged, while others are handed on."""
    receive(series(count=3))
    clock.forward(1)
    receive(series("1.2.4.1", 3, study="1.2.4"), association="a2")
    clock.forward(1)
    taker.raises["1.2.3"] = Unavailable(Outage.SPOOL_FAILED)
    monotonic = 1000.0
    monkeypatch.setattr("node.assembly.time.monotonic", lambda: monotonic)
    with pytest.raises(Unavailable):
        assembly.round()
    assert taker.uids == ["1.2.3", "1.2.4"]
    assert shown(ledger) == (StudyState.RECEIVING, None)
    taker.contents.clear()
    assembly.round()
    assert taker.uids == ["1.2.4"]
    taker.raises.clear()
    taker.contents.clear()
    monotonic += 5
    assembly.round()
    assert taker.uids == ["1.2.3", "1.2.4"]


def test_a_file_that_the_disk_does_not_give_is_an_outage(
    assembly: Assembly, clock: Any, spool: Spool, series: Datasets, receive: Receive
) -> None:
    """Missing rights or a broken disk are for the operator to mend; the study waits. (A folder stands for them.)"""
    (first, *_) = receive(series(count=3))
    spool.file(first).unlink()
    spool.file(first).mkdir()
    clock.forward(1)
    with pytest.raises(Unavailable) as caught:
        assembly.round()
    assert caught.value.code is Outage.SPOOL_FAILED


def test_a_study_that_grew_while_it_was_read_is_judged_anew(
    ledger: Ledger, assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """A refusal of an older content is not said of the newer one."""
    late = series(count=3)

    class Growing(Taker):
        def __call__(self, content: StudyContent) -> None:
            super().__call__(content)
            receive([late[2]], association="a2")
            raise NotAnalysable(StudyRefusal.TOO_FEW_SLICES)

    receive(late[:2])
    clock.forward(1)
    grown = Assembly(ledger, assembly._spool, assembly._settings, Growing())
    grown.round()
    assert shown(ledger) == (StudyState.RECEIVING, None)


def test_quarantine_stops_the_job_of_the_study(
    ledger: Ledger,
    assembly: Assembly,
    clock: Any,
    series: Datasets,
    receive: Receive,
    request_of: Callable[..., Any],
    taker: Taker,
) -> None:
    """A second patient's late slice stops what was going on for the study: no result leaves."""
    receive(series(count=3))
    clock.forward(1)
    assembly.round()
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of())
        assert job is not None
    receive(series("1.2.3.2", 1, PatientID="P2"), association="a2")
    clock.forward(1)
    assembly.round()
    assert shown(ledger)[0] is StudyState.QUARANTINED
    with ledger.transaction() as session:
        assert [one.state for one in jobs.of_study(session, "1.2.3")] == [JobState.SUPERSEDED]
    assert len(taker.uids) == 1


def waiting(ledger: Ledger, study_uid: str = "1.2.3") -> list[str]:
    """Return what the study is shown to wait for."""
    with ledger.transaction() as session:
        return [one.detail for one in session.query(StudyFlag).filter_by(study_uid=study_uid, code=Flag.WAITING)]


def test_a_missing_slice_is_waited_for_visibly(
    ledger: Ledger, assembly: Assembly, clock: Any, spool: Spool, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """Its files are not read again meanwhile; when the slice comes and the study is quiet again, it is complete."""
    datasets = series(count=12)
    late = datasets.pop(5)
    taken = receive(datasets)
    clock.forward(1)
    with capture_logs() as logs:
        assembly.round()
        kept = spool.file(taken[0]).read_bytes()
        spool.file(taken[0]).write_bytes(b"changed: whoever reads it now would say so")
        for _ in range(5):
            clock.forward(60)
            assembly.round()
    assert shown(ledger) == (StudyState.RECEIVING, None)
    [detail] = waiting(ledger)
    assert detail.startswith("In series 2, 1 slice seems to be missing after position 12.0 mm")
    assert [one["event"] for one in logs] == ["study-waits"]
    spool.file(taken[0]).write_bytes(kept)
    receive([late], association="a2")
    clock.forward(1)
    assembly.round()
    [content] = taker.contents
    assert (len(content.sop_instance_uids), content.forced) == (12, "")


def test_what_does_not_come_is_not_waited_for_for_ever(
    ledger: Ledger, assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker, settings: Settings
) -> None:
    """After the time since the last instance the study goes on by force, and says why."""
    datasets = series(count=12)
    receive(datasets[:5])
    receive(datasets[7:9], association="a2")
    clock.forward(settings.forced_completion_s - 1)
    assembly.round()
    receive(datasets[9:], association="a3")
    clock.forward(settings.forced_completion_s - 1)
    assembly.round()
    assert taker.uids == []
    assert len(waiting(ledger)) == 1
    clock.forward(1)
    assembly.round()
    [content] = taker.contents
    assert "in series 2, 2 slices seem to be missing after position 12.0 mm" in content.forced


def test_a_waiting_study_holds_up_no_other(
    assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """Others are handed on while it waits."""
    datasets = series(count=12)
    del datasets[5]
    receive(datasets)
    clock.forward(1)
    assembly.round()
    receive(series("1.2.4.1", 12, study="1.2.4"), association="a2")
    clock.forward(1)
    assembly.round()
    assert taker.uids == ["1.2.4"]


def test_a_new_steward_finds_who_waits(
    ledger: Ledger, assembly: Assembly, clock: Any, spool: Spool, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """What is remembered is only saved work: the flag is replaced by the same, and the time goes on."""
    datasets = series(count=12)
    del datasets[5]
    receive(datasets)
    clock.forward(1)
    assembly.round()
    before = waiting(ledger)
    clock.forward(assembly._settings.forced_completion_s - 2)
    anew = Assembly(ledger, spool, assembly._settings, taker)
    anew.round()
    assert waiting(ledger) == before
    assert taker.uids == []
    clock.forward(1)
    anew.round()
    assert taker.uids == ["1.2.3"]


def test_the_flag_goes_with_the_study_and_the_force_stays_in_its_cause(
    ledger: Ledger, assembly: Assembly, clock: Any, series: Datasets, receive: Receive, taker: Taker
) -> None:
    """A forced study that is refused has both reasons in its event, and waits no longer."""
    datasets = series(count=12)
    del datasets[5]
    receive(datasets)
    clock.forward(1)
    assembly.round()
    assert len(waiting(ledger)) == 1
    taker.raises["1.2.3"] = NotAnalysable(StudyRefusal.TOO_FEW_SLICES, "few")
    clock.forward(assembly._settings.forced_completion_s)
    assembly.round()
    assert shown(ledger) == (StudyState.NOT_ANALYSABLE, StudyRefusal.TOO_FEW_SLICES)
    assert waiting(ledger) == []
    assert "without proof that the study is complete" in last_cause(ledger)


def test_a_second_patient_is_not_waited_with(
    ledger: Ledger, assembly: Assembly, clock: Any, series: Datasets, receive: Receive
) -> None:
    """A conflict is shown at once, also in a study that has a gap."""
    datasets = series(count=12, PatientID=lambda index: f"P{index // 6}")
    del datasets[5]
    receive(datasets)
    clock.forward(1)
    assembly.round()
    assert shown(ledger) == (StudyState.QUARANTINED, StudyRefusal.PATIENT_CONFLICT)


@pytest.mark.parametrize("sender", ["SLOW", "SCANNER"])
def test_each_sender_has_its_own_quiet_time(
    ledger: Ledger, clock: Any, spool: Spool, settings: Settings, series: Datasets, receive: Receive, sender: str
) -> None:
    """The longest of those that sent something counts, of a variant too; the site's where a peer has none."""
    peers = (CallingPeer(ae_title="SLOW", quiet_time_s=100), CallingPeer(ae_title="FAST", quiet_time_s=2))
    taker = Taker()
    values = {"calling": peers, "quiet_time_s": 30}
    assembly = Assembly(ledger, spool, settings.model_copy(update=values), taker)
    receive(series("1.2.4.1", 12, study="1.2.4"), calling="FAST", association="a1")
    receive(series(count=12), calling="FAST", association="a2")
    receive(series("1.2.3.2", 12), calling=sender, association="a3")
    due = {"SLOW": 100, "SCANNER": 30}[sender]
    for second, complete in ((2, ["1.2.4"]), (due - 3, []), (1, ["1.2.3"])):
        clock.forward(second)
        taker.contents.clear()
        assembly.round()
        assert [uid for uid in taker.uids if uid in complete] == complete
        assert ("1.2.3" in taker.uids) == ("1.2.3" in complete)
