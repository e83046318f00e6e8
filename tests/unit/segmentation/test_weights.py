import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from node.core.codes import Structure
from node.core.errors import NotAnalysable, Untrusted
from node.core.reasons import StudyRefusal
from workers.segmentation import data_sets, download, weights
from workers.segmentation.data_sets import DataSet, Psoas

BOTH: tuple[Psoas, ...] = ("iliopsoas", "psoas_major")


@pytest.fixture(autouse=True)
def library(lacking: Callable[[str], None]) -> tuple[Any, Any]:
    """The library's own tables: tasks, classes."""
    try:
        from totalsegmentator import map_tasks_config, map_to_binary
    except ImportError:
        lacking("totalsegmentator")
    return map_tasks_config, map_to_binary


def put(folder: Path, one: DataSet) -> None:
    """Lay a data set of made-up bytes into a weights folder."""
    for name in (*one.files, f"{one.folder}/note.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"{one.number} {name}".encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A weights folder with everything that the usual tasks need, and its manifest."""
    for one in data_sets.required():
        put(tmp_path, one)
    weights.write_manifest(tmp_path, data_sets.required())
    return tmp_path


def checkpoint(folder: Path) -> Path:
    """A checkpoint of the folder."""
    return folder / data_sets.required()[0].files[-1]


# --- what is needed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("psoas", BOTH)
def test_classes_are_found(psoas: Psoas) -> None:
    """Every class that we look for is an output of one of the data sets named as needed."""
    outputs = {name for one in data_sets.required(psoas) for name in one.labels.values()}
    assert {name for task in data_sets.tasks(psoas) for name in task.structures} <= outputs


def test_parts_without_our_classes_are_left_out(library: tuple[Any, Any]) -> None:
    """Of the parts of `total` only those with a class of ours are needed; the whole of it is not."""
    parts = set(library[0].TASK_CONFIGS["total"]["sub_modes"]["default"]["task_id"])
    needed = {one.number for one in data_sets.required()}
    assert 0 < len(parts & needed) < len(parts)


def test_crop_stages_are_needed(library: tuple[Any, Any]) -> None:
    """What the library crops by first is needed too: 3 mm `total` before the lesions, the body before the muscles."""
    modes = library[0].TASK_CONFIGS["total"]["sub_modes"], library[0].TASK_CONFIGS["body"]["sub_modes"]
    coarse, body = modes[0]["fast"]["task_id"], modes[1]["fast"]["task_id"]
    assert coarse in {one.number for one in data_sets.required(fast=False)}
    assert body in {one.number for one in data_sets.required("psoas_major")}
    assert body not in {one.number for one in data_sets.required("iliopsoas")}


def test_fast_needs_less() -> None:
    """In the reduced mode no network of 1.5 mm of `total` is needed."""
    assert {one.number for one in data_sets.required(fast=True)} < {one.number for one in data_sets.required()}


@pytest.mark.parametrize("psoas", BOTH)
def test_no_licence(psoas: Psoas, library: tuple[Any, Any]) -> None:
    """No task that needs a licence is run, and none of its weights is asked for."""
    licensed = library[1].commercial_models
    assert not {task.name for task in data_sets.tasks(psoas)} & licensed.keys()
    assert not {one.number for one in data_sets.required(psoas)} & set(licensed.values())


def test_licensed_task_is_refused(library: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that comes under a licence with a later version of the library is not run."""
    monkeypatch.setitem(library[1].commercial_models, "liver_lesions", 591)
    with pytest.raises(ValueError, match="licence"):
        data_sets.required()


@pytest.mark.parametrize(
    ("psoas", "muscles"),
    [
        ("iliopsoas", {Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT}),
        ("psoas_major", {Structure.PSOAS_MAJOR_LEFT, Structure.PSOAS_MAJOR_RIGHT}),
    ],
)
def test_muscle_is_the_one_asked_for(psoas: Psoas, muscles: set[Structure]) -> None:
    """The muscle that stands for the psoas is looked for, and the other one is not."""
    found = {structure for task in data_sets.tasks(psoas) for structure in task.structures.values()}
    assert {structure for structure in found if "psoas" in structure} == muscles


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Where TotalSegmentator is not installed its weights count as missing: the next way is tried."""
    monkeypatch.setitem(sys.modules, "totalsegmentator", None)
    monkeypatch.delitem(sys.modules, "totalsegmentator.map_tasks_config", raising=False)
    assert not weights.available(folder)
    with pytest.raises(NotAnalysable) as caught:
        weights.verify(folder)
    assert caught.value.code is StudyRefusal.WEIGHTS_MISSING


# --- the manifest -------------------------------------------------------------------------------------------------


def test_untouched_weights_pass(folder: Path) -> None:
    """Weights that are what the manifest says are available and pass."""
    assert weights.available(folder)
    weights.verify(folder)


def test_manifest_holds_every_file(folder: Path) -> None:
    """The manifest holds size and SHA-256 of every file of every data set, computed independently here."""
    files = json.loads((folder / "manifest.json").read_text())["files"]
    there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("Dataset*/**/*.*")}
    assert files == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in there.items()
    }


def test_every_file_is_missed(folder: Path) -> None:
    """Whichever file that nnU-Net opens is gone, the weights are missing and the command to fetch them is named."""
    for name in [name for one in data_sets.required() for name in one.files]:
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert not weights.available(folder)
        with pytest.raises(NotAnalysable, match="crlm-node models fetch") as caught:
            weights.verify(folder)
        assert caught.value.code is StudyRefusal.WEIGHTS_MISSING
        (folder / name).write_bytes(content)
    weights.verify(folder)


def test_every_file_is_hashed(folder: Path) -> None:
    """Whichever file changed by one bit, of the same length, is found."""
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    for name in listed:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
        with pytest.raises(Untrusted) as caught:
            weights.verify(folder)
        assert caught.value.code is StudyRefusal.INPUT_UNTRUSTED
        assert name in caught.value.detail
        (folder / name).write_bytes(content)


def test_listed_file_that_nnunet_does_not_open(folder: Path) -> None:
    """A file that the manifest lists counts as missing where it is gone, though nnU-Net would not open it."""
    (folder / data_sets.required()[0].folder / "note.txt").unlink()
    with pytest.raises(NotAnalysable):
        weights.verify(folder)


def test_cut_file(folder: Path) -> None:
    """A copy that ended early is found."""
    checkpoint(folder).write_bytes(checkpoint(folder).read_bytes()[:-1])
    with pytest.raises(Untrusted):
        weights.verify(folder)


def test_no_manifest(folder: Path) -> None:
    """Weights that nobody vouches for are not used."""
    (folder / "manifest.json").unlink()
    assert not weights.available(folder)
    with pytest.raises(NotAnalysable) as caught:
        weights.verify(folder)
    assert caught.value.code is StudyRefusal.WEIGHTS_MISSING


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"files": 3}',
        b'{"files": {"a": 3}}',
        b'{"files": {"a": {"bytes": "x", "sha256": ""}}}',
        b"\xff\xfe",
        b'{"files": {"../a": {"bytes": 1, "sha256": ""}}}',
        b'{"files": {"/a": {"bytes": 1, "sha256": ""}}}',
    ],
)
def test_broken_manifest(folder: Path, content: bytes) -> None:
    """A manifest that cannot be read, or that names files outside, is untrusted: no failure, and no reason to take
    another network.
    """
    (folder / "manifest.json").write_bytes(content)
    assert weights.available(folder)
    with pytest.raises(Untrusted) as caught:
        weights.verify(folder)
    assert caught.value.code is StudyRefusal.INPUT_UNTRUSTED


def test_unlisted_checkpoint(folder: Path) -> None:
    """A checkpoint that the manifest does not list is not trusted, though its folder is there."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["files"][checkpoint(folder).relative_to(folder).as_posix()]
    path.write_text(json.dumps(content))
    assert weights.available(folder)
    with pytest.raises(Untrusted):
        weights.verify(folder)


def test_other_tasks_do_not_matter(folder: Path) -> None:
    """What is not needed may be missing or come later, and the name of the weights stays."""
    name = weights.engine_name(folder)
    assert not weights.available(folder, "psoas_major")
    for one in data_sets.required("psoas_major"):
        put(folder, one)
    weights.write_manifest(folder, data_sets.required("psoas_major"))
    assert weights.available(folder, "psoas_major")
    assert weights.engine_name(folder) == name


def test_name_follows_the_weights(tmp_path: Path) -> None:
    """Another file is another name; it fits SegmentAlgorithmName (LO, 64 characters) and says the reduced mode."""
    names = []
    for other in (b"", b"other"):
        folder = tmp_path / f"weights{len(other)}"
        for one in data_sets.required():
            put(folder, one)
        checkpoint(folder).write_bytes(other)
        weights.write_manifest(folder, data_sets.required())
        names.append(weights.engine_name(folder))
    assert names[0] != names[1]
    fast = weights.engine_name(folder, fast=True)
    assert "3 mm" in fast
    assert max(len(name) for name in (*names, fast)) <= 64


def test_nothing_is_blessed_anew(folder: Path) -> None:
    """A file that changed since the manifest was written stays untrusted when the manifest is completed."""
    checkpoint(folder).write_bytes(b"changed")
    weights.write_manifest(folder, data_sets.required())
    with pytest.raises(Untrusted):
        weights.verify(folder)


def test_inventory(folder: Path) -> None:
    """The list says of each needed data set whether it is there, whether it is listed, and its size."""
    assert all(line.present and line.listed and line.size_bytes > 0 for line in weights.inventory(folder))
    missing = [line for line in weights.inventory(folder, "psoas_major") if not line.present]
    assert missing
    assert not any(line.listed or line.size_bytes for line in missing)


# --- fetching -----------------------------------------------------------------------------------------------------


@pytest.fixture
def downloader(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path, DataSet], None]], list[int]]:
    """Put a function in the place of the library's downloader; it returns the list of what is asked of it."""

    def replace(function: Callable[[Path, DataSet], None]) -> list[int]:
        asked: list[int] = []
        known = {one.number: one for one in data_sets.all_parts()}

        def download(number: int) -> None:
            asked.append(number)
            function(Path(os.environ["TOTALSEG_WEIGHTS_PATH"]), known[number])

        libs = ModuleType("totalsegmentator.libs")
        libs.__dict__["download_pretrained_weights"] = download
        monkeypatch.setitem(sys.modules, "totalsegmentator.libs", libs)
        return asked

    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", "")
    monkeypatch.setenv("TOTALSEG_HOME_DIR", "")
    return replace


def test_fetch_brings_what_is_missing(tmp_path: Path, downloader: Callable[..., list[int]]) -> None:
    """Each data set is asked for once, moved in whole, and listed; a second run asks for nothing."""
    asked = downloader(put)
    lines = download.fetch(tmp_path / "new")
    assert asked == [one.number for one in data_sets.required()]
    assert all(line.present and line.listed for line in lines)
    weights.verify(tmp_path / "new")
    asked.clear()
    download.fetch(tmp_path / "new")
    assert asked == []


def test_fetch_of_one_more(folder: Path, downloader: Callable[..., list[int]]) -> None:
    """On a folder that has most of it only the rest is brought."""
    asked = downloader(put)
    download.fetch(folder, "psoas_major")
    assert set(asked) == {one.number for one in data_sets.required("psoas_major")} - {
        one.number for one in data_sets.required()
    }
    weights.verify(folder, "psoas_major")


@pytest.mark.parametrize("half", [True, False], ids=["half of it came", "nothing came"])
def test_failed_download(tmp_path: Path, downloader: Callable[..., list[int]], half: bool) -> None:
    """A download that breaks off is told by its code and leaves nothing that looks like weights."""

    def break_off(folder: Path, one: DataSet) -> None:
        if half:
            put(folder, one)
            (folder / one.files[-1]).unlink()
        raise ConnectionError("no route to host")

    downloader(break_off)
    with pytest.raises(NotAnalysable) as caught:
        download.fetch(tmp_path)
    assert caught.value.code is StudyRefusal.WEIGHTS_MISSING
    assert data_sets.required()[0].folder in caught.value.detail
    assert list(tmp_path.iterdir()) == []


def test_download_of_another_layout(tmp_path: Path, downloader: Callable[..., list[int]]) -> None:
    """A download without the files that nnU-Net opens is not taken."""

    def half(folder: Path, one: DataSet) -> None:
        put(folder, one)
        (folder / one.files[-1]).unlink()

    downloader(half)
    with pytest.raises(NotAnalysable):
        download.fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_incomplete_folder_is_nobodys_to_remove(folder: Path, downloader: Callable[..., list[int]]) -> None:
    """A data set that is there in part is left to the person, who is told its name."""
    downloader(put)
    checkpoint(folder).unlink()
    with pytest.raises(NotAnalysable, match="remove it"):
        download.fetch(folder)


def test_statistics_are_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's settings, as it reads them, say that no usage statistics are sent; it takes no more threads than
    there are cores.
    """
    for name in ("TOTALSEG_HOME_DIR", "TOTALSEG_WEIGHTS_PATH", weights.THREADS):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv(weights.THREADS)
    weights.keep_quiet(tmp_path / "home", tmp_path / "weights")
    settings = SimpleNamespace(**json.loads((Path(os.environ["TOTALSEG_HOME_DIR"]) / "config.json").read_text()))
    assert settings.send_usage_stats is False
    assert os.environ["TOTALSEG_WEIGHTS_PATH"] == str(tmp_path / "weights")
    assert int(os.environ[weights.THREADS]) == len(os.sched_getaffinity(0))
