"""Heights from others: a real Orthanc and a real worklist (DCMTK), and a stand-in for answers that none should give."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive import Archive as Rest
from made_series import ROOT, write_series
from pacs import Pacs, serving
from pydicom import Dataset, dcmread
from structlog.testing import capture_logs
from worklist import AE_TITLE, WorklistServer

from node.content import StudyContent, gather, header
from node.core.ledger import jobs
from node.core.ledger.tables import Job
from node.core.peer import Peer
from node.core.reasons import NotComputed
from node.core.records import HeightSource, Instance, JobRequest, PatientFacts, parse
from node.core.settings import Archive, MeasurementSettings, Settings, Worklist
from node.facts import patient_facts
from node.heights import Heights
from node.inquiry import Respondent
from node.servers import Orthanc
from node.steward import Steward

from .conftest import Site

MISSING, IMPLAUSIBLE = NotComputed.HEIGHT_MISSING, NotComputed.HEIGHT_IMPLAUSIBLE
NOTHING = (None, None, MISSING)


def study(**attributes: Any) -> StudyContent:
    """Return a study of one slice without a height."""
    ds = Dataset()
    ds.PatientID, ds.PatientName, ds.PatientBirthDate = "MADE-1", "Made^Small", "19600101"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.Modality = "1.2", "1.2.1", "1.2.1.1", "CT"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return gather("1.2", [header(ds, Instance("1.2.1.1", "1", "1", "aa", "x"))])


def height(
    archives: list[Respondent],
    worklist: Respondent | None = None,
    content: StudyContent | None = None,
    before: PatientFacts | None = None,
    *,
    in_cm: bool = False,
) -> tuple[float | None, HeightSource | None, NotComputed | None]:
    """Return what is known of the height of a study."""
    content = content or study()
    settings = Settings(measurement=MeasurementSettings(height_in_cm=in_cm))
    facts = Heights(archives, worklist, settings).complete(
        patient_facts(content, "1.2.1", height_in_cm=in_cm), content, before
    )
    return facts.height_m, facts.height_source, facts.height_reason


def respondent(port: int) -> Respondent:
    return Respondent(Archive(ae_title="PACS", host="127.0.0.1", port=port), Settings())


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Orthanc]:
    """A running Orthanc of this module."""
    if not Orthanc.available():
        lacking("orthanc")
    with Orthanc(tmp_path_factory.mktemp("orthanc"), "PACS", {}) as one:
        yield one


@pytest.fixture
def give(orthanc: Orthanc, tmp_path: Path) -> Callable[..., None]:
    """Return a function that stores a study in the emptied Orthanc."""
    Rest(orthanc).clear()
    numbers = iter(range(100))

    def store(size: str | None, **attributes: Any) -> None:
        uid = f"{ROOT}.{next(numbers)}"

        def edit(ds: Dataset, _index: int) -> None:
            ds.PatientSize, ds.StudyInstanceUID = size, uid
            for keyword, value in attributes.items():
                setattr(ds, keyword, value)

        paths = write_series(tmp_path / uid, np.zeros((2, 8, 8), np.int16), series=f"{uid}.1", edit=edit)
        for path in paths:  # its file says another study than its folder was made for
            assert dcmread(path).StudyInstanceUID == uid
        stored = Peer("PACS", "127.0.0.1", orthanc.dicom_port, "SCANNER").store(paths)
        assert [one.error for one in stored if one.error] == []

    return store


@pytest.fixture
def worklist(tmp_path: Path, lacking: Callable[[str], None]) -> Iterator[WorklistServer]:
    """A running worklist without entries."""
    if WorklistServer.program() is None:
        lacking("dcmtk's wlmscpfs")
    server = WorklistServer(tmp_path / "worklist")
    server.start()
    yield server
    server.stop()


def scheduled(server: WorklistServer) -> Respondent:
    return Respondent(Worklist(ae_title=AE_TITLE, host="127.0.0.1", port=server.port), Settings())


def test_the_archive_knows_the_height_from_another_study(orthanc: Orthanc, give: Callable[..., None]) -> None:
    """Studies that say nothing do not disagree; others' studies are not asked for; the source is named."""
    ask = respondent(orthanc.dicom_port)
    give(None)
    assert height([ask]) == NOTHING
    give("1.68")
    give("1.680", PatientName="Married^Small")
    give("1.80", PatientID="MADE-2")
    give("1.80", PatientBirthDate="19610101", PatientName="Other^One")
    assert height([ask]) == (1.68, HeightSource.ARCHIVE, None)
    assert height([ask], content=study(PatientSize="1.71")) == (1.71, HeightSource.SERIES, None)
    assert height([ask], content=study(PatientSize="171")) == (None, HeightSource.SERIES, IMPLAUSIBLE)
    give("1.70")
    assert height([ask]) == (None, HeightSource.ARCHIVE, IMPLAUSIBLE)


@pytest.mark.parametrize(
    ("size", "in_cm", "found"),
    [
        ("168", False, (None, HeightSource.ARCHIVE, IMPLAUSIBLE)),
        ("168", True, (1.68, HeightSource.ARCHIVE, None)),
    ],
)
def test_what_is_plausible_in_a_header_is_plausible_in_an_archive(
    orthanc: Orthanc, give: Callable[..., None], size: str, in_cm: bool, found: Any
) -> None:
    """Centimetres only where the site writes them."""
    give(size)
    assert height([respondent(orthanc.dicom_port)], in_cm=in_cm) == found


def test_the_worklist_knows_it_where_no_archive_does(
    orthanc: Orthanc, give: Callable[..., None], worklist: WorklistServer
) -> None:
    """A real worklist by Patient ID; entries of others do not count; the archive comes first."""
    ask, entries = respondent(orthanc.dicom_port), scheduled(worklist)
    assert height([ask], entries) == NOTHING
    worklist.add("MADE-2", "1.80", birth_date="19600101")
    worklist.add("MADE-1", "1.80", birth_date="19610101")
    worklist.add("MADE-1", None, birth_date="19600101")
    assert height([ask], entries) == NOTHING
    worklist.add("MADE-1", "1.66")
    assert height([ask], entries) == (1.66, HeightSource.WORKLIST, None)
    give("1.68")
    assert height([ask], entries) == (1.68, HeightSource.ARCHIVE, None)
    worklist.add("MADE-1", "1.64", birth_date="19600101")
    assert height([], entries) == (None, HeightSource.WORKLIST, IMPLAUSIBLE)


def entry(size: str | None = "1.68", **attributes: Any) -> Dataset:
    ds = Dataset()
    ds.PatientID, ds.PatientSize = "MADE-1", size
    ds.StudyInstanceUID = f"1.3.{len(attributes)}.{abs(hash(str(attributes))) % 10_000}"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("answer", "content", "counts"),
    [
        ({}, {}, True),
        ({"PatientBirthDate": "19600101", "IssuerOfPatientID": "A"}, {"IssuerOfPatientID": "A"}, True),
        ({"IssuerOfPatientID": "A"}, {}, True),
        ({"PatientName": "Somebody^Else"}, {}, True),
        ({"PatientBirthDate": "19600102"}, {}, False),
        ({"IssuerOfPatientID": "B"}, {"IssuerOfPatientID": "A"}, False),
        ({"PatientID": "MADE-11", "PatientName": "Made^Small"}, {}, False),
        ({"PatientID": "", "PatientName": "Made^Small", "PatientBirthDate": "19600101"}, {}, False),
    ],
    ids=[
        "id-alone", "all-agree", "issuer-of-one-side", "other-name", "birth-date", "issuer", "other-id", "name-alone",
    ],
)  # fmt: skip
def test_only_the_patients_own_answers_count(
    free_port: Callable[[], int], answer: dict[str, Any], content: dict[str, Any], counts: bool
) -> None:
    """An archive that answers for others is not believed, and that is logged without a word of whom."""
    with serving(Pacs(free_port(), listed=[entry(**answer)]), []) as pacs, capture_logs() as logs:
        found = height([respondent(pacs.port)], content=study(**content))
    assert found == ((1.68, HeightSource.ARCHIVE, None) if counts else NOTHING)
    assert [one["event"] for one in logs] == ([] if counts else ["height-of-another-patient"])
    assert "MADE" not in repr(logs).upper()
    query = pacs.queries[0]
    assert (query.PatientID, "PatientName" in query) == ("MADE-1", False)


@pytest.mark.parametrize("patient_id", ["", "*", "MADE?1", "MÄDE-1"])
def test_an_id_that_names_nobody_is_not_asked_by(free_port: Callable[[], int], patient_id: str) -> None:
    """A wild card would bring everybody's height."""
    with serving(Pacs(free_port(), listed=[entry(PatientID=patient_id)]), []) as pacs:
        assert height([respondent(pacs.port)], content=study(PatientID=patient_id)) == NOTHING
    assert pacs.queries == []


def test_a_source_that_is_away_holds_nothing_up(free_port: Callable[[], int]) -> None:
    """The next source is asked; what an earlier job was told stands; else the height is missing. It is logged."""
    gone = respondent(free_port())
    told = PatientFacts(1.68, HeightSource.ARCHIVE, None, 70.0, "F")
    with capture_logs() as logs:
        assert height([gone]) == NOTHING
        assert height([gone], before=told) == (1.68, HeightSource.ARCHIVE, None)
        assert height([gone], before=PatientFacts(1.7, HeightSource.SERIES, None, None, "")) == NOTHING
        with serving(Pacs(free_port(), listed=[entry("1.71")]), []) as pacs:
            assert height([gone, respondent(pacs.port)], before=told) == (1.71, HeightSource.ARCHIVE, None)
    assert [one["event"] for one in logs].count("height-source-away") == 4
    assert [one["event"] for one in logs].count("respondent-away") == 1


def test_the_steward_asks_what_the_study_does_not_say(
    open_site: Callable[..., Site], orthanc: Orthanc, give: Callable[..., None], tmp_path: Path
) -> None:
    """From C-STORE to the request: a study without a height gets that of the archive, which holds nothing up."""
    give("1.68")
    place = Archive(ae_title="PACS", host="127.0.0.1", port=orthanc.dicom_port, heights=True)
    site = open_site(quiet_time_s=0.2, archives=(place,))

    def edit(ds: Dataset, _index: int) -> None:
        ds.PatientSize = None

    site.peer.store(write_series(tmp_path / "ct", np.zeros((12, 8, 8), np.int16), edit=edit))
    steward = Steward(site.ledger, site.spool, site.settings)
    until = time.monotonic() + 30
    made: list[Job] = []
    while not made and time.monotonic() < until:
        steward._assembly.round()
        time.sleep(0.05)
        with site.ledger.transaction() as session:
            made = list(jobs.of_study(session, ROOT))
    request = parse(JobRequest, made[0].request)
    assert (request.facts.height_m, request.facts.height_source) == (1.68, HeightSource.ARCHIVE)
    assert request.forced == ""
    assert request.key != replace(request, facts=PatientFacts(1.68, HeightSource.SERIES, None, None, "F")).key
