"""The demonstration model's folder is proven before anything of it is opened; the bytes here are made up."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_validation import validation as made_validation

from node.core.errors import NotAnalysable, Untrusted
from node.core.reasons import Coded, StudyRefusal
from node.core.records import dump
from workers.segmentation import manifest
from workers.segmentation.demo.folder import FILES, proven, validation

CARD = "MODEL_CARD.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file of the model and a card, and its manifest."""
    for name in (*FILES, CARD):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    manifest.write(tmp_path, {"model": "demo"}, manifest.entries_of(tmp_path, (*FILES, CARD)))
    return tmp_path


def refused(action: Callable[[], object], kind: type[NotAnalysable | Untrusted]) -> tuple[Coded, str]:
    """Return code and detail that an action is refused with."""
    with pytest.raises(kind) as caught:
        action()
    return caught.value.code, caught.value.detail


def test_two_networks_are_named() -> None:
    """Plans, data set and weights of either network are what has to be vouched for."""
    assert len(FILES) == 6
    assert {name.split("/")[0] for name in FILES} == {"levels", "structures"}


def test_untouched(folder: Path) -> None:
    """An untouched folder is named by a digest, the same each time; another manifest is another name."""
    name = proven(folder)
    assert proven(folder) == name
    manifest.write(folder, {"model": "another"}, manifest.read(folder))
    assert proven(folder) != name


@pytest.mark.parametrize("name", [*FILES, CARD, manifest.NAME])
def test_missing(name: str, folder: Path) -> None:
    """Whichever file is gone, the model counts as missing."""
    (folder / name).unlink()
    assert refused(lambda: proven(folder), NotAnalysable)[0] is StudyRefusal.WEIGHTS_MISSING


@pytest.mark.parametrize("name", [*FILES, CARD])
def test_changed(name: str, folder: Path) -> None:
    """Whichever file changed by one bit, of the same length, is found and named."""
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    code, detail = refused(lambda: proven(folder), Untrusted)
    assert code is StudyRefusal.INPUT_UNTRUSTED
    assert name in detail


@pytest.mark.parametrize("name", FILES)
def test_unlisted(name: str, folder: Path) -> None:
    """A manifest that says nothing of a file vouches for nothing, though the file is there."""
    entries = manifest.read(folder)
    del entries[name]
    manifest.write(folder, {"model": "demo"}, entries)
    code, detail = refused(lambda: proven(folder), Untrusted)
    assert code is StudyRefusal.INPUT_UNTRUSTED
    assert name in detail


def validated(folder: Path, model: str, **changes: object) -> None:
    """Write a validation of a model, which its digest names, into the manifest."""
    block = json.loads(dump(made_validation(model=model))) | changes
    manifest.write(folder, {"model": "demo", "validation": block}, manifest.read(folder))


def test_a_validation_is_of_the_files_that_it_was_measured_on(folder: Path) -> None:
    """It comes back whole; a manifest without one has none; of other weights, were it one bit, it says nothing."""
    assert validation(folder) is None
    listed = manifest.read(folder)
    model = manifest.digest({name: listed[name] for name in FILES})
    validated(folder, model)
    assert validation(folder) == made_validation(model=model)
    (folder / CARD).write_bytes(b"another card")
    manifest.write(folder, json.loads((folder / manifest.NAME).read_text()), manifest.entries_of(folder, listed))
    assert validation(folder) is not None, "the card is not the network"
    (folder / FILES[2]).write_bytes(b"other weights")
    validated(folder, model)
    manifest.write(folder, json.loads((folder / manifest.NAME).read_text()), manifest.entries_of(folder, listed))
    proven(folder)
    assert validation(folder) is None


def test_a_validation_in_another_form_is_untrusted(folder: Path) -> None:
    """Something that is left out, or is no number: the model is not used rather than half believed."""
    for changes in ({"conditions": {}}, {"errors": {"liver.volume": {"relative": True, "values": ["much"]}}}):
        validated(folder, "0" * 64, **changes)
        assert refused(lambda: validation(folder), Untrusted)[0] is StudyRefusal.INPUT_UNTRUSTED
    impossible = {"errors": {"liver.volume": {"relative": True, "values": [-2.0]}}}
    validated(folder, "0" * 64, **impossible)
    assert refused(lambda: validation(folder), Untrusted)[0] is StudyRefusal.INPUT_UNTRUSTED


def test_torch_is_not_imported_for_a_model_that_is_not_whole(folder: Path) -> None:
    """What takes seconds to import waits for the proof."""
    (folder / FILES[0]).unlink()
    program = f"""
import sys
from pathlib import Path
from node.core.errors import NotAnalysable
from workers.segmentation.demo.network import DemoNetwork
try:
    DemoNetwork(Path({str(folder)!r}))
except NotAnalysable:
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "False\n", done.stderr
