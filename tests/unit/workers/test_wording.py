"""The files of words: each language has the same keys and fields, and each key is asked for by a module."""

import ast
import string
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest

import workers
from node.core.codes import MEASUREMENTS, RAD_PARTS, Structure
from node.core.reasons import Coded, NotComputed, NoteCode, StudyRefusal
from node.core.records import HeightSource
from node.core.settings import MeasurementSettings, languages
from workers.measured import ScoreNote
from workers.records import AlgorithmType
from workers.report.wording import Words, parse

ENGLISH = Words.of("en")


def asked_for() -> Iterator[str]:
    """Yield the key of every call `words("...")` in the workers; of f"table.{one}" the part before the brace, and *."""
    for path in Path(workers.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "words" and node.args:
                yield from _keys(node.args[0])


def _keys(key: ast.expr) -> Iterator[str]:
    if isinstance(key, ast.IfExp):
        yield from _keys(key.body)
        yield from _keys(key.orelse)
    elif isinstance(key, ast.JoinedStr):
        head = key.values[0]
        assert isinstance(head, ast.Constant), ast.unparse(key)
        yield f"{head.value}*"
    else:
        assert isinstance(key, ast.Constant), f"a key that no test can see: {ast.unparse(key)}"
        yield str(key.value)


def fields(text: str) -> list[str]:
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})


def test_each_key_that_is_asked_for_is_there() -> None:
    """A missing key would stop the report of a study that needs it."""
    for key in set(asked_for()):
        assert key in ENGLISH.texts or any(one.startswith(key[:-1]) for one in ENGLISH.texts if key[-1] == "*"), key


def test_each_key_that_is_there_is_asked_for() -> None:
    """A text that nobody says is not translated in vain."""
    keys = set(asked_for())
    starts = tuple(key[:-1] for key in keys if key[-1] == "*")
    assert [key for key in ENGLISH.texts if key not in keys and not key.startswith(starts)] == []


@pytest.mark.parametrize("language", languages())
def test_each_language_has_the_same_keys_and_fields(language: str) -> None:
    """Another file says the same things, with the same facts in them."""
    theirs = Words.of(language)
    assert theirs.language == language
    assert {key: fields(text) for key, text in theirs.texts.items()} == {
        key: fields(text) for key, text in ENGLISH.texts.items()
    }


def test_facts_stand_in_their_fields() -> None:
    """Tables nest, numbers are formatted by the text, and a key or fact that is not there is an error."""
    words = parse("xx", '[page]\ntitle = "Page {number} of {of:.1f}"\n[page.foot]\nnote = "end"')
    assert dict(words.texts) == {"page.title": "Page {number} of {of:.1f}", "page.foot.note": "end"}
    assert words("page.title", number=2, of=3) == "Page 2 of 3.0"
    with pytest.raises(KeyError):
        words("page.subtitle")
    with pytest.raises(KeyError):
        words("page.title", number=2)


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        ("reason", NotComputed),
        ("refusal", StudyRefusal),
        ("score_note", ScoreNote),
        ("note", [one for one in NoteCode if one is not NoteCode.FORCED_COMPLETION]),
    ],
    ids=["reason", "refusal", "score note", "note"],
)
def test_the_sentences_of_codes_are_those_of_the_closed_lists(table: str, codes: Iterable[Coded]) -> None:
    """Each code has its sentence, in English the same that other places say."""
    assert of_table(table) == {str(code): code.sentence for code in codes}


def test_numbers_are_called_in_english_as_elsewhere() -> None:
    """Each number of the table, with the muscle that was measured."""
    names = {"Muscle": "Iliopsoas", "muscle": "iliopsoas", "signature": "of-a-site"}
    expected = {name: coding.name for name, coding in MEASUREMENTS.items()}
    expected |= {f"rad_score.{part}": f"{coding.name}, of-a-site" for part, coding in RAD_PARTS.items()}
    assert {name: text.format(**names) for name, text in of_table("measurement").items()} == expected


def test_what_is_chosen_by_a_word_of_the_records_is_there() -> None:
    """Sources of a height, structures, ways to draw, muscles."""
    assert set(of_table("height")) == set(HeightSource)
    assert set(of_table("structure")) == set(Structure)
    assert set(of_table("algorithm")) == set(AlgorithmType)
    muscles = get_args(MeasurementSettings.model_fields["psoas"].annotation)
    assert set(of_table("muscle")) == {f"{one}.{part}" for one in muscles for part in ("first", "within")}


@pytest.mark.parametrize("language", languages())
def test_descriptions_have_room(language: str) -> None:
    """LO holds 64 characters: with revision 99 and what it is fit for, none is cut."""
    words = Words.of(language)
    for key, text in words.texts.items():
        if key.startswith("series.") and not fields(text):
            described = words("series.description", text=words("series.revision", number=99, text=text))
            assert key == "series.contribution" or len(described) <= 64, described
        assert not key.startswith("seg_content.") or len(text) <= 64


def of_table(table: str) -> dict[str, str]:
    return {key.removeprefix(f"{table}."): text for key, text in ENGLISH.texts.items() if key.startswith(f"{table}.")}
