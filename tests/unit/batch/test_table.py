"""The one table of a batch: its columns, the types of its cells, and that both files hold the same."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from studies import Study, analyse

from node.core.cases import Case, Fate, Outcome
from node.core.codes import MEASUREMENTS, rad_names
from node.core.settings import Settings
from node.core.signatures import installed
from node.phantom import PhantomFiles, covering_grid, standard_anatomy, write_phantom
from workers.batch import table

KEYS = ("arm", "note")
SIGNATURES = installed(Settings().models)
FORM = table.Form(KEYS, SIGNATURES)
MEASURED = Outcome(Fate.MEASURED, 0)


def case(name: str, *keys: str) -> Case:
    return Case(name, "1.2.3", Path("data"), (), None, keys)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    """The synthetic abdomen, very coarse."""
    grid = covering_grid(standard_anatomy(), spacing_mm=(6.0, 5.0, 5.0))
    return write_phantom(tmp_path_factory.mktemp("phantom"), grid=grid)


@pytest.fixture(scope="module")
def whole(phantom: PhantomFiles, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that was measured."""
    return analyse(phantom.ct[0].parent, phantom.seg, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def nothing(phantom: PhantomFiles, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that was refused."""
    return analyse(phantom.ct[0].parent, None, tmp_path_factory.mktemp("nothing"))


@pytest.fixture
def written(whole: Study, nothing: Study, tmp_path: Path) -> Path:
    """Folder with the table of a measured case, a refused one, and one that failed."""
    measured = json.loads(json.dumps(whole.document))
    measured["measurements"]["liver.volume"]["interval"] = [1400, 1500.5]
    measured["rad_scores"][1]["place"] = 0.25
    refused = Outcome(Fate.REFUSED, 1, nothing.document["refusal"]["code"], "text")
    rows = [
        table.row(case("a", "A", 'says "so",\nand more'), MEASURED, measured, FORM),
        table.row(case("b", "B", ""), refused, nothing.document, FORM),
        table.row(case("c", "", "Ü"), Outcome(Fate.FAILED, 137, "worker-lost", "text"), None, FORM),
    ]
    assert table.write(tmp_path, rows, FORM) == table.FILES
    assert {path.name for path in tmp_path.iterdir()} == set(table.FILES), "what was written beside is gone"
    return tmp_path


def read_csv(folder: Path) -> list[dict[str, str]]:
    with (folder / table.CSV).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_parquet(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(folder / table.PARQUET).to_pylist()
    return rows


def test_the_order_of_columns_is_fixed(written: Path) -> None:
    """The case first, then facts, then each number with bounds, reason and notes, then the user's own columns."""
    names = list(read_csv(written)[0])
    assert names == parquet.read_schema(written / table.PARQUET).names
    assert names[:6] == ["case", "status", "exit", "reason", "study_instance_uid", "series_instance_uid"]
    assert names[-2:] == list(KEYS)
    scores = [name for one in SIGNATURES for name in rad_names(one)]
    numbers = [name for name in names if name in (*MEASUREMENTS, *scores)]
    assert numbers == [*MEASUREMENTS, *scores]
    at = names.index("liver.volume")
    parts = ["", ".low", ".high", ".reason", ".notes"]
    assert names[at : at + 5] == [f"liver.volume{part}" for part in parts]
    assert "rad_score.kha-2026.group.low" not in names, "a word has no bounds"


def test_types_are_those_of_the_values(written: Path) -> None:
    """Numbers are float64 with their unit, codes and words are strings."""
    schema = parquet.read_schema(written / table.PARQUET)
    for name, coding in MEASUREMENTS.items():
        field = schema.field(name)
        assert str(field.type) == ("double" if coding.unit else "string"), name
        assert (field.metadata or {}).get(b"unit", b"").decode() == coding.unit
        assert {str(schema.field(f"{name}.{part}").type) for part in ("reason", "notes")} == {"string"}
    assert [str(schema.field(name).type) for name in ("kvp", "exit", "slices", "lossy", "job", "arm")] == [
        "double", "int64", "int64", "bool", "string", "string",
    ]  # fmt: skip


def test_numbers_are_those_of_the_result(written: Path, whole: Study) -> None:
    """To the last bit; a number that was not computed is null beside its reason, never NaN or 0."""
    measured, refused, failed = read_parquet(written)
    for name, one in whole.document["measurements"].items():
        assert measured[name] == one["value"], name
        assert measured[f"{name}.reason"] == one["reason"], name
        codes = dict.fromkeys(note["code"] for note in one["notes"])
        assert measured[f"{name}.notes"] == (";".join(codes) or None), name
        assert (refused[name], failed[name]) == (None, None)
        assert (refused[f"{name}.reason"], failed[f"{name}.reason"]) == ("segmentation-unavailable", None)
    assert (measured["liver.volume.low"], measured["liver.volume.high"]) == (1400.0, 1500.5)
    place = f"rad_score.{whole.document['rad_scores'][1]['signature']}.place"
    assert [row[place] for row in (measured, refused, failed)] == [0.25, None, None]
    values = [value for row in (measured, refused, failed) for value in row.values() if isinstance(value, float)]
    assert values
    assert not any(math.isnan(value) for value in values)


def test_facts_are_those_of_the_result(written: Path, whole: Study) -> None:
    """How it was acquired, whose height it is, and which job made it."""
    [measured, refused, failed] = read_parquet(written)
    document = whole.document
    quality, patient = document["quality"], document["study"]["patient"]
    assert (measured["case"], measured["status"], measured["exit"], measured["reason"]) == ("a", "measured", 0, None)
    assert measured["job"] == document["job"]
    assert measured["series_instance_uid"] == document["series"]["series_instance_uid"]
    assert (measured["height_m"], measured["height_source"]) == (patient["height_m"], patient["height_source"])
    for name in ("kvp", "slice_thickness_mm", "manufacturer", "slices", "lossy"):
        assert measured[name] == quality[name], name
    assert measured["kernel"] == (quality["kernel"] or None)
    assert [measured[f"{axis}_spacing_mm"] for axis in ("slice", "row", "column")] == quality["spacing_mm"]
    assert (refused["status"], refused["exit"], refused["reason"]) == ("refused", 1, "segmentation-unavailable")
    assert (failed["status"], failed["exit"], failed["reason"]) == ("failed", 137, "worker-lost")
    assert failed["job"] is None


def test_both_files_hold_the_same(written: Path) -> None:
    """Each cell of the CSV file reads back to that of the Parquet file; an empty one is null."""
    types = {one.name: one.kind for one in FORM.columns}
    parsers: dict[type, Any] = {str: str, float: float, int: int, bool: {"true": True, "false": False}.get}
    back = [
        {name: parsers[types[name]](cell) if cell else None for name, cell in row.items()} for row in read_csv(written)
    ]
    assert back == read_parquet(written)


def test_a_users_own_columns_are_untouched(written: Path) -> None:
    """Commas, quotation marks, line ends and umlauts come back as they were."""
    assert [(row["arm"], row["note"]) for row in read_csv(written)] == [
        ("A", 'says "so",\nand more'),
        ("B", ""),
        ("", "Ü"),
    ]


def test_no_name_and_no_sentence_is_in_the_table(written: Path, whole: Study) -> None:
    """Neither the patient's name nor ID, nor what a header says in words of its own."""
    header = whole.sources[0]
    text = (written / table.CSV).read_text()
    for words in (str(header.PatientName), str(header.PatientID), whole.document["series"]["description"]):
        assert words
        assert words not in text


def test_without_its_library_there_is_no_parquet(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CSV file is written, and no Parquet file of an earlier run is left beside it."""
    monkeypatch.setattr(table, "find_spec", lambda _: None)
    assert table.write(written, [], FORM) == (table.CSV,)
    assert {path.name for path in written.iterdir()} == {table.CSV}
