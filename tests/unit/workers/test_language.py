"""A result in another language: other sentences, and the same codes, meanings and numbers."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_studies import Made
from pydicom import Dataset
from sr_reading import children, code, name, texts, walk
from studies import Study, run

from node.core.records import JobRequest
from node.core.settings import ReportSettings
from node.core.spool import Spool
from workers.report import wording
from workers.report.wording import Words

FORCED = "PROCESSED 60 MINUTES AFTER THE LAST IMAGE"  # of the node, before a language is chosen
# Names that programs pair by, and what devices and headers call themselves.
NAMES = {"112039", "121013", "121014", "121015", "121016", "111001", "111003", "122405"}


def loud(text: str) -> str:
    """Return a text in capitals, its fields as they were."""
    return "".join(part if part.startswith("{") else part.upper() for part in re.split(r"(\{[^}]*\})", text))


@pytest.fixture(autouse=True)
def second_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language that shouts, in a file beside English."""
    english = Words.of("en").texts
    spoken = {key: loud(text) for key, text in english.items()} | {"language.tag": "qq"}
    lines = [f"{key} = {json.dumps(text, ensure_ascii=False)}" for key, text in spoken.items()]
    (tmp_path / "qq.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(wording, "_FOLDER", tmp_path)


def in_language(request: JobRequest, language: str, folder: Path) -> Study:
    home = Spool(folder / language)
    home.prepare()
    return run(replace(request, report=ReportSettings(language=language)), home)


def both(request: JobRequest, folder: Path) -> tuple[Study, Study]:
    return in_language(request, "en", folder), in_language(request, "qq", folder)


def said(ds: Dataset) -> Iterator[tuple[str, Any]]:
    """Yield each content item but texts, sites and images: its kind, name, and value."""
    for item in walk(ds):
        coded = [*item.get("ConceptNameCodeSequence", []), *item.get("ConceptCodeSequence", [])]
        concepts = [(code(one), one.CodingSchemeDesignator, one.CodeMeaning) for one in coded]
        if name(item) != "121049":  # Language of Content Item
            measured = [str(one.NumericValue) for one in item.get("MeasuredValueSequence", [])]
            yield item.ValueType, (concepts, measured, item.get("GraphicData"))


def test_codes_and_numbers_are_the_same_and_sentences_are_not(tmp_path: Path) -> None:
    """In both SR, of whatever a result can hold: a forced study with notes, missing numbers, lesions and scores."""
    request = replace(Made(tmp_path).study().request, forced=FORCED)
    english, other = both(request, tmp_path)
    assert english.request.key != other.request.key
    assert english.document["measurements"] == other.document["measurements"]
    for file in ("sr.dcm", "sr-viewer.dcm"):
        first, second = english.dataset(file), other.dataset(file)
        assert list(said(first)) == list(said(second))
        [language] = children(second, "CODE", "121049")
        assert code(language.ConceptCodeSequence[0]) == "qq"
        pairs = [
            (one, its)
            for one, its in zip(walk(first), walk(second), strict=True)
            if one.ValueType == "TEXT" and name(one) not in NAMES
        ]
        for one, its in pairs:
            assert one.TextValue != its.TextValue or its.TextValue in (FORCED, "B30f")
        assert pairs
        assert second.SeriesDescription == str(first.SeriesDescription).upper()
        names = [str(item.TextValue) for item in walk(first) if name(item) == "112039"]
        assert names == [str(item.TextValue) for item in walk(second) if name(item) == "112039"]
    seg, theirs = english.dataset("seg.dcm"), other.dataset("seg.dcm")
    assert [one.SegmentLabel for one in seg.SegmentSequence] == [one.SegmentLabel for one in theirs.SegmentSequence]
    assert theirs.ContentDescription == str(seg.ContentDescription).upper()


def test_a_refusal_speaks_the_language(tmp_path: Path) -> None:
    """The same code, another sentence."""
    request = replace(Made(tmp_path).study().request, segmentations=())
    english, other = (study.dataset("sr.dcm") for study in both(request, tmp_path))
    assert list(said(english)) == list(said(other))
    sentence = "No segmentation of this study is available."
    assert any(text.startswith(sentence) for text in texts(english))
    assert any(text.startswith(sentence.upper()) for text in texts(other))
