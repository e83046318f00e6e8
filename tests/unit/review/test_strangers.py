"""`report check` on objects of others: rules for ours say nothing, rules for all say what is so."""

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from node.review.rules import RULES
from node.review.subject import NothingBeside, subjects
from node.review.verdict import State, Verdict, judge


def judged(path: Path, *beside: Path) -> dict[str, Verdict]:
    """Return the verdict of each rule."""
    [subject] = subjects([path], beside)
    return {one.rule.id: one for one in judge(subject, RULES[subject.kind])}


def broken(verdicts: dict[str, Verdict]) -> set[str]:
    """Return the ids of the broken rules."""
    return {name for name, one in verdicts.items() if one.state is State.BROKEN}


def test_a_report_of_dcmqi_is_no_report_of_ours(strangers: dict[str, Path]) -> None:
    """It keeps to TID 1500; it is titled as drawn, and a stock OHIF could not draw it."""
    verdicts = judged(strangers["sr"])
    assert verdicts["research"].why == "not made by crlm-node"
    for rule in ("numbers-valued", "units", "tracked", "tracked-apart", "segments-named", "procedure"):
        assert verdicts[rule].state is State.OK, verdicts[rule]
    assert "viewer-numbers" in broken(verdicts)


@pytest.mark.parametrize("name", ["seg", "liver", "partial_overlaps"])
def test_segmentations_of_dcmqi_keep_to_what_all_keep_to(name: str, strangers: dict[str, Path]) -> None:
    """Nothing broken; codes of SNOMED RT are known by their successors."""
    assert broken(judged(strangers[name])) == set()


def test_a_segmentation_of_dcmqi_lies_on_its_slices(strangers: dict[str, Path]) -> None:
    """With its CT, the rules of geometry apply and hold."""
    verdicts = judged(strangers["liver"], strangers["liver"].parent / "ct-3slice")
    for rule in ("seg-geometry", "seg-space"):
        assert verdicts[rule].state is State.OK, verdicts[rule]


@pytest.mark.parametrize("name", ["test-SR.dcm", "reportsi.dcm", "reportsi_with_empty_number_tags.dcm"])
def test_old_reports_get_a_verdict(name: str) -> None:
    """No TID 1500, so little applies, and nothing fails."""
    verdicts = judged(Path(str(get_testdata_file(name))))
    assert verdicts["template"].state is State.NOT_APPLICABLE


def test_nothing_beside(tmp_path: Path, coarse_phantom_files: Path) -> None:
    """A folder without CT and SEG is named: rules that need them would silently not apply."""
    (tmp_path / "notes.txt").write_text("no DICOM")
    with pytest.raises(NothingBeside, match="holds neither"):
        subjects([coarse_phantom_files / "seg.dcm"], [tmp_path])
