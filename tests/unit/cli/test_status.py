"""`status`, and the screens that the other commands share: what a person reads, in 80 columns and in more."""

import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy.orm import Session

from node import demo, screens
from node.core.codes import MEASUREMENTS
from node.core.errors import NotAnalysable, Unavailable
from node.core.ledger import Ledger, deliveries, jobs, products, studies
from node.core.ledger.deliveries import Schedule
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Delivery, Job, Study
from node.core.peer import Peer, Stored
from node.core.reasons import Flag, Outage, StudyRefusal
from node.core.records import JobRequest
from node.core.states import DeliveryState, Stage, StudyState
from node.send import SendReport
from node.up import Crew

LONG = "1.2.826.0.1.3680043.8.498." + "7" * 38
OTHER = "1.2.840.99999.1"
LEASE = timedelta(seconds=60)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of the home that `crlm_node` runs in."""
    one = Ledger(f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}")
    one.upgrade()
    yield one
    one.close()


@pytest.fixture
def studied(ledger: Ledger, store: Callable[..., list[str]], request_of: Callable[..., JobRequest]) -> Ledger:
    """A ledger with two studies: results of one under way to two destinations, the other quarantined."""
    uids = store(study=LONG, series=f"{LONG[:50]}.1", association="a1")
    others = store(study=OTHER, series=f"{OTHER}.1", association="a2")
    with ledger.transaction() as session:
        studies.conclude(session, LONG, uids, StudyState.COMPLETE, "quiet, 1 instances")
        job = jobs.enqueue(session, request_of(LONG))
        assert job is not None
        jobs.take(session, job.key, Stage.SEGMENT, "w1", LEASE)
        jobs.finish(session, job.key, "w1")
        for kind in ("seg", "sr"):
            plan = {"job_key": job.key, "kind": kind, "file": f"{kind}.dcm", "digest": "aa"}
            deliveries.plan(session, destination="pacs", sop_instance_uid=f"2.25.{len(kind)}", **plan)
        seg, sr = deliveries.of_job(session, job.key)
        deliveries.mark_sent(session, seg, "status 0000")
        deliveries.mark_proven(session, seg, "found by C-FIND at PACS")
        refused = Unavailable(Outage.DESTINATION_REFUSED, "C-STORE answered A700, out of resources")
        deliveries.try_again(session, sr, refused, Schedule(Patience(3, LEASE, LEASE), LEASE))
        cause = str(NotAnalysable(StudyRefusal.PATIENT_CONFLICT, "3 identities"))
        studies.conclude(session, OTHER, others, StudyState.QUARANTINED, cause, reason="patient-conflict")
    return ledger


def shown(draw: Callable[[Console], object], width: int = 80) -> str:
    """Return what is drawn on a console of a width, without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    draw(console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    return text


def flat(text: str) -> str:
    return " ".join(text.split())


# --- the command ----------------------------------------------------------------------------------------------------


def test_status_without_a_ledger(crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """Nothing was started yet: exit 1, what to do, and looking has made no file."""
    done = crlm_node("status")
    assert (done.code, done.sentence) == (
        1,
        f"there is no ledger in {tmp_path / 'home'} yet: start the steward, which makes it",
    )
    assert not (tmp_path / "home").exists()


def test_status_of_a_ledger_of_another_version(crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """A database without our schema is told as that."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ledger.sqlite").touch()
    done = crlm_node("status")
    assert done.code == 1
    assert "start the steward of this version" in done.sentence


def test_status_of_a_file_that_is_no_database(crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """A broken ledger is one sentence, not a traceback."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ledger.sqlite").write_text("this is no database at all, but it is long enough to be read")
    done = crlm_node("status")
    assert (done.code, done.sentence) == (1, "the ledger cannot be used: file is not a database")


def test_status_before_the_first_study(crlm_node: Callable[..., Any], home: Ledger) -> None:
    """An empty ledger is no failure; a study that is asked for and unknown is one."""
    done = crlm_node("status")
    assert (done.code, done.out, done.err) == (0, "No study has come yet.\n", "")
    done = crlm_node("status", "1.2.3")
    assert (done.code, done.sentence) == (1, "no study 1.2.3 is known here")


# --- its screen -----------------------------------------------------------------------------------------------------


def test_the_list_says_what_became_of_each_study(studied: Ledger) -> None:
    """UIDs unbroken in 80 columns, states, deliveries by destination, and each reason with its sentence."""
    text = shown(lambda console: screens.status(console, studied, ""))
    assert LONG in text.splitlines()
    assert OTHER in text.splitlines()
    words = flat(text)
    assert "study complete job reported delivery to pacs: SEG proven, SR pending after 1 attempts:" in words
    assert "destination-refused: C-STORE answered A700, out of resources" in words
    assert "study quarantined: patient-conflict: The study holds slices of more than one patient." in words
    assert "What happened" not in text


def taken(session: Session, request: JobRequest) -> Job:
    """Enter a complete study with a job that a worker has."""
    at = request.requested_at
    study = Study(uid=request.study_instance_uid, state=StudyState.COMPLETE, first_received_at=at, last_received_at=at)
    session.add(study)
    session.flush()
    job = jobs.enqueue(session, request)
    assert job is not None
    jobs.take(session, job.key, Stage.SEGMENT, "w1", LEASE)
    return job


@pytest.mark.parametrize(
    ("summary", "told", "code"),
    [
        (DeliveryState.PENDING, "SR goes as SUMMARY (sop-class-refused: 0122), SUMMARY pending", 0),
        (DeliveryState.PROVEN, "SR delivered as SUMMARY (sop-class-refused: 0122), SUMMARY proven", 0),
        (DeliveryState.FAILED, "SR failed after 1 attempts: sop-class-refused: 0122, SUMMARY failed after 1", 1),
    ],
)
def test_a_refused_object_is_told_by_what_went_in_its_place(
    home: Ledger,
    request_of: Callable[..., JobRequest],
    crlm_node: Callable[..., Any],
    summary: DeliveryState,
    told: str,
    code: int,
) -> None:
    """No failure where the Summary goes; where it is refused too, both have failed, and the exit code says so."""
    with home.transaction() as session:
        job = taken(session, request_of(OTHER))
        jobs.finish(session, job.key, "w1")
        facts = {"job_key": job.key, "digest": "aa"}
        deliveries.plan(session, destination="pacs", sop_instance_uid="2.25.1", kind="sr", file="sr.dcm", **facts)
        products.enter(session, sop_instance_uid="2.25.2", kind="summary", file="summary.dcm", **facts)
        refused = Unavailable(Outage.SOP_CLASS_REFUSED, "0122")
        deliveries.refuse(session, deliveries.of_job(session, job.key)[0], refused, substitutes=True)
        stand_in = session.get_one(Delivery, ("2.25.2", "pacs"))
        if summary is DeliveryState.FAILED:
            deliveries.refuse(session, stand_in, refused, substitutes=True)
        elif summary is DeliveryState.PROVEN:
            deliveries.mark_sent(session, stand_in, "status 0000")
            deliveries.mark_proven(session, stand_in, "found")
    done = crlm_node("status", OTHER)
    assert f"delivery to pacs: {told}" in flat(done.out)
    assert done.code == code
    assert crlm_node("status").code == 0


def test_a_job_that_failed_is_told_by_the_exit_code(
    home: Ledger, request_of: Callable[..., JobRequest], crlm_node: Callable[..., Any]
) -> None:
    """Of the study that is asked for; the list of all studies is no failure."""
    with home.transaction() as session:
        job = taken(session, request_of(OTHER))
        jobs.give_up(session, job.key, "w1", Unavailable(Outage.SPOOL_FAILED))
    assert crlm_node("status", OTHER).code == 1
    assert crlm_node("status").code == 0


def test_a_study_that_waits_says_for_what(ledger: Ledger, store: Callable[..., list[str]]) -> None:
    """The flag, its sentence, what is missing, and when the study is processed all the same."""
    store(study=OTHER)
    with ledger.transaction() as session:
        studies.wait(session, OTHER, "In series 2, 1 slice seems to be missing; without them it is processed at noon.")
    words = flat(shown(lambda console: screens.status(console, ledger, "")))
    assert f"waiting-for-slices: {Flag.WAITING.sentence} In series 2, 1 slice seems to be missing;" in words
    assert "processed at noon." in words


def test_one_study_is_told_from_the_first_instance_on(studied: Ledger) -> None:
    """How a UID begins is enough: every move with time, what moved and why, in the order of time."""
    text = shown(lambda console: screens.status(console, studied, OTHER[:9]))
    assert LONG not in text
    assert "receiving -> quarantined The study holds slices of more than one patient. (3 identities)" in flat(text)
    story = flat(shown(lambda console: screens.status(console, studied, LONG), 120))
    moves = [
        "study receiving first instance",
        "study receiving -> complete quiet, 1 instances",
        "job 1 queued study complete",
        "job 1 queued -> running segment by w1",
        "job 1 running -> reported results stored",
        "seg@pacs pending result stored",
        "seg@pacs pending -> sent status 0000",
        "seg@pacs sent -> proven found by C-FIND at PACS",
    ]
    places = [story.index(move) for move in moves]
    assert places == sorted(places)


def test_several_studies_that_begin_alike_are_listed(studied: Ledger) -> None:
    """An ambiguous beginning lists all that it may mean."""
    text = shown(lambda console: screens.status(console, studied, "1.2.8"))
    assert LONG in text
    assert OTHER in text
    assert "What happened" not in text


def test_the_demo_shows_a_study_that_was_closed_before_there_was_a_job(studied: Ledger, tmp_path: Path) -> None:
    """Nothing was measured, so there is no table: the reason that the ledger holds is shown, and it is no success."""
    node = Peer("CRLM_NODE", "127.0.0.1", 1, "DEMO")
    stage = demo.Stage(tmp_path, tmp_path, node, None, "", tmp_path, studied, Crew({}, tmp_path), "", "")
    with studied.transaction() as session:
        closed = session.get_one(Study, OTHER)
    codes: list[int] = []
    text = shown(lambda console: codes.append(demo._report(console, stage, OTHER, (closed, None), None)))
    assert codes == [1]
    assert "quarantined: patient-conflict" in flat(text)


# --- the screen of a result -----------------------------------------------------------------------------------------

OPEN = [
    {"name": "node-positive primary", "state": "unknown"},
    {"name": "disease-free interval < 12 months", "state": "unknown"},
    {"name": "largest > 5 cm", "state": "yes"},
]
NOTE = {"code": "contrast", "text": "Contrast agent raises the attenuation."}
EVERYWHERE = {"code": "imported", "text": "Imported segmentation (manual, [Reader] 1)."}
CUT = {"code": "truncated", "text": "The liver reaches the top slice of the scan."}
BESIDE = {
    "text": "mean 113.3 [cm³/m³]",
    "source": "Someone 2026",
    "population": "88 patients",
    "protocol": "CT at 120 kVp",
    "outside": ["80 kVp", "contrast agent was given"],
}


RAD_SCORES = [
    {
        "signature": "of-a-site",
        "score": -0.25,
        "group": "[low]",
        "place": 0.31,
        "contributions": [{"feature": "original_made_A", "outside": True}, {"feature": "age", "outside": False}],
        "reason": None,
        "why": [],
    },
    {
        "signature": "another",
        "score": None,
        "group": None,
        "place": None,
        "contributions": [],
        "reason": "out-of-scope",
        "why": ["indication: needs liver-resection, not known"],
    },
]


def document(**changes: Any) -> dict[str, Any]:
    """Return a result in which everything is computed but the lesions and the Rad scores."""
    measurements = {}
    for number, (name, coding) in enumerate(MEASUREMENTS.items()):
        one = {
            "value": 100.0 + number,
            "unit": coding.unit,
            "interval": None,
            "status": "computed",
            "reason": None,
            "notes": [EVERYWHERE],
            "context": [BESIDE] if name == "psoas.pmvi" else [],
        }
        if name == "l1.sd_hu":
            one |= {"value": None, "status": "not-computed", "reason": "not-built", "notes": []}
        if name.startswith("burden.max"):
            one |= {"value": None, "status": "not-computed", "reason": "lesion-none", "notes": []}
        if name.startswith("l1."):
            one["notes"] = [NOTE, EVERYWHERE]
        if name.startswith("liver."):
            one["notes"] = [CUT, EVERYWHERE]
        measurements[name] = one
    return {
        "refusal": None,
        "series": {"description": "Abdomen [pv]", "tried": [], "left_out": []},
        "study": {"patient": {"height_m": 1.75}},
        "quality": {"slices": 160, "spacing_mm": [3.0, 0.8, 0.8], "segmentation": {"engine": "imported"}},
        "measurements": measurements,
        "rad_scores": RAD_SCORES,
        "scores": [
            {"name": "Modified clinical score with RAS", "low": 1, "high": 3, "of": 3, "items": OPEN},
            {"name": "GAME score", "low": 2, "high": 2, "of": 7, "items": [{"name": "KRAS mutation", "state": "no"}]},
        ],
    } | changes


@pytest.mark.parametrize("width", [80, 110, 120])
@pytest.mark.parametrize("with_truth", [False, True])
def test_a_result_fits_and_says_everything_once(width: int, with_truth: bool) -> None:
    """Every measurement stands in one line; each note's sentence stands once; what is not built comes last."""
    truth = {name: {"value": 101.0} for name in MEASUREMENTS} if with_truth else None
    text = shown(lambda console: screens.result(console, document(), truth), width)
    for name, coding in MEASUREMENTS.items():
        lines = [line for line in text.splitlines() if line.startswith(f"{coding.name}  ")]
        assert len(lines) == 1, name
    for note in (NOTE, EVERYWHERE, CUT):
        assert flat(text).count(note["text"]) == 1
    assert "of Abdomen [pv]: 160 slices, 3 mm apart, height 1.75 m" in flat(text)
    assert flat(text).count("This version does not compute it yet.") == 1
    computed, missing = text.split("Not computed")
    assert "Liver volume" in computed
    assert missing.index("lesion-none") < missing.index("not-built")
    assert ("Truth" in text) == with_truth
    assert "Modified clinical score with RAS 1 to 3 of 3 unknown: node-positive primary, disease-free" in flat(text)
    assert re.search(r"^GAME score +2 of 7 *$", text, re.MULTILINE)
    assert ("as in every CT" in flat(text)) == with_truth
    of_site = "of-a-site −0.250 [low] 31 % in training had a lower score; outside training: original_made_A"
    assert of_site.replace("−", "-") in flat(text)
    assert "out-of-scope: indication: needs liver-resection, not known" in flat(text)


def test_numbers_are_aligned_and_marked() -> None:
    """Points stand below each other, a lower bound says so, a note is a letter, and one of all numbers is no letter."""
    lines = shown(lambda console: screens.result(console, document())).splitlines()
    rows = {line[:33].strip(): line for line in lines}
    points = {rows[name].index(".") for name in ("Liver volume", "PMI (iliopsoas)", "L1 density, mean")}
    assert len(points) == 1
    count = rows["Liver lesions"]
    assert count.index("114") + 3 == points.pop()
    assert "≥ 100.00  mL" in rows["Liver volume"]
    assert "≥" not in rows["Liver attenuation, mean"]
    assert rows["Liver volume"].split()[-1] == "a"
    assert rows["L1 density, mean"].split()[-1] == "b"
    assert rows["PMI (iliopsoas)"].split()[-1] == "cm²/m²"
    assert any(line.startswith("all  imported: ") for line in lines)


def test_published_values_are_shown_with_what_differs_here() -> None:
    """Text, source, population and protocol, then what of this study is not as there; no heading without any."""
    shown_of = document()
    text = flat(shown(lambda console: screens.result(console, shown_of), 200))
    told = "PMVI (iliopsoas): mean 113.3 [cm³/m³]. Someone 2026: 88 patients; CT at 120 kVp."
    assert f"{told} Here: 80 kVp, contrast agent was given." in text
    shown_of["measurements"]["psoas.pmvi"]["context"] = [BESIDE | {"outside": []}]
    text = flat(shown(lambda console: screens.result(console, shown_of), 200))
    assert told in text
    assert "Here:" not in text
    shown_of["measurements"]["psoas.pmvi"]["context"] = []
    assert "Published" not in shown(lambda console: screens.result(console, shown_of))


def test_an_implausible_structure_is_shown_with_its_figures() -> None:
    """Once, where the first of its numbers is missing."""
    shown_of, figures = document(), "The liver has 23 mL; plausible are 250 to 12000 mL."
    for name in ("liver.volume", "liver.mean_hu"):
        shown_of["measurements"][name] |= {
            "value": None,
            "status": "not-computed",
            "reason": "structure-implausible",
            "notes": [{"code": "implausible", "text": figures}],
        }
    text = flat(shown(lambda console: screens.result(console, shown_of), 200))
    assert text.count(figures) == 1
    assert text.count("structure-implausible") == 2


def test_differences_from_the_truth() -> None:
    """In per cent, for HU and counts absolute; none where the truth has no such number."""
    truth = {"liver.volume": {"value": 80.0}, "liver.mean_hu": {"value": 103.5}, "burden.count": {"value": 115.0}}
    text = shown(lambda console: screens.result(console, document(), truth))
    rows = {line[:33].strip(): line.split() for line in text.splitlines()}
    assert rows["Liver volume"][-5:] == ["mL", "80.00", "+25.00", "%", "a"]
    assert rows["Liver attenuation, mean"][-4:] == ["HU", "103.50", "-2.50", "a"]
    assert rows["Liver lesions"][-2:] == ["115", "-1"]
    assert rows["PMI (iliopsoas)"][-1] == "-"


@pytest.mark.parametrize("width", [80, 110])
@pytest.mark.parametrize("with_truth", [False, True])
def test_intervals_are_told_with_what_they_stand_on(width: int, with_truth: bool) -> None:
    """A table of the numbers that have one, and once what it was measured on; where none has, not a word."""
    written = document()
    truth = {"liver.volume": {"value": 98.0}} if with_truth else None
    assert "Range of truth" not in shown(lambda console: screens.result(console, written, truth), width)
    written["measurements"]["liver.volume"]["interval"] = [96.5, 101.25]
    written["quality"]["segmentation"]["validation"] = {
        "n": 12,
        "what": "synthetic abdomens [unseen]",
        "height_resolution_m": 0.005,
    }
    _, ranges = shown(lambda console: screens.result(console, written, truth), width).split("Range of truth")
    [row] = [line.split() for line in ranges.splitlines() if line.startswith("Liver volume")]
    assert row == ["Liver", "volume", "96.50", "101.25", "mL", *(["98.00"] if with_truth else [])]
    assert "on 12 synthetic abdomens [unseen] imply; no confidence interval." in flat(ranges)
    assert "Indices" not in ranges
    written["measurements"]["psoas.pmi"]["interval"] = [9.0, 11.0]
    written["study"]["patient"]["height_source"] = "patient-size-of-series"
    text = shown(lambda console: screens.result(console, written, truth), width)
    assert "Indices: with the height to within 0.005 m (patient-size-of-series)." in flat(text)
    assert max(map(len, text.splitlines())) <= width


def test_a_refusal_says_what_was_tried() -> None:
    """The coded reason, its text, each candidate that was refused and each series that was left out."""
    refused = document(
        refusal={"code": "uneven-spacing", "text": "The slices are not evenly spaced. (step 7)"},
        series={
            "description": None,
            "tried": [{"series_instance_uid": LONG, "code": "uneven-spacing", "text": ""}],
            "left_out": [{"series_instance_uid": "", "modality": "", "description": "a.txt", "why": "file not read"}],
        },
    )
    console = Console(file=io.StringIO(), width=80, color_system=None)
    screens.result(console, refused)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Not measured: uneven-spacing" in text
    assert "The slices are not evenly spaced. (step 7)" in flat(text)
    assert f"  tried {LONG}: uneven-spacing\n" in text
    assert "  left out a.txt: file not read\n" in text
    assert "Liver volume" not in text


def test_uids_are_never_broken() -> None:
    """The longest UID stands whole in 80 columns, found or not."""
    rows = [("seg", LONG, "crlm-node segmentation (research use)", True), ("sr-viewer", "2.25.1", "", False)]
    console = Console(file=io.StringIO(), width=80, color_system=None)
    screens.uids(console, "Looked for", rows)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split() for line in lines if LONG in line] == [["SEG", "found", LONG]]
    assert [line.split() for line in lines if "2.25.1" in line] == [["SR-VIEWER", "not", "found", "2.25.1"]]


def test_what_was_not_stored_is_named() -> None:
    """Each failed file with its reason, each warning with its status, and the counts."""
    failed = Stored(Path("[a].dcm"), 0xA700, "", Unavailable(Outage.DESTINATION_REFUSED, "C-STORE answered A700"))
    report = SendReport((), (Stored(Path("b.dcm"), 0xB000, "", None),), (failed,), (Path("c.txt"),))
    text = flat(shown(lambda console: screens.sent(console, report), 200))
    assert "not stored [a].dcm: The destination did not take an object. (C-STORE answered A700)" in text
    assert "stored with warning B000 b.dcm" in text
    assert text.endswith("1 stored, 1 not stored, 1 skipped, being no DICOM")


def test_a_real_result_is_shown(crlm_node: Callable[..., Any], small_phantom: Any, tmp_path: Path) -> None:
    """What `analyse` wrote is what its table shows."""
    assert crlm_node("analyse", small_phantom.ct[0].parent, "--seg", small_phantom.seg, "--out", tmp_path).code == 0
    written = json.loads((tmp_path / "result.json").read_text())
    text = shown(lambda console: screens.result(console, written, small_phantom.truth))
    for name, one in written["measurements"].items():
        if isinstance(one["value"], float) and name != "burden.count":
            assert f"{one['value']:.2f}" in text
