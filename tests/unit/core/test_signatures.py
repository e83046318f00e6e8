"""Which signatures are asked: those that are installed or named; one that cannot be read stops the start by name."""

import json
from pathlib import Path

import pytest

from node.core import signatures
from node.core.errors import Unavailable
from node.core.reasons import Outage
from node.core.settings import Settings, SettingsError


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models with two manifests, which name themselves."""
    for id_ in ("one", "two"):
        path = tmp_path / "signatures" / id_ / "manifest.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"id": id_, "digest": "0" * 64}))
    (tmp_path / "signatures" / "no-manifest").mkdir()
    return tmp_path


def ids(settings: Settings) -> list[str]:
    return [one.id for one in signatures.asked(settings)]


def test_all_that_are_installed_are_asked_or_those_that_are_named(models: Path) -> None:
    """A site names some, none, or leaves it; the order is its own."""
    assert ids(Settings(models_dir=models)) == ["one", "two"]
    assert ids(Settings(models_dir=models, signatures=("two", "one"))) == ["two", "one"]
    assert ids(Settings(models_dir=models, signatures=())) == []
    assert ids(Settings(models_dir=models / "nowhere")) == []


def test_the_digest_is_that_of_the_file(models: Path) -> None:
    """Any other byte is another signature."""
    path = models / "signatures" / "one" / "manifest.json"
    [before, other] = signatures.asked(Settings(models_dir=models))
    path.write_text(path.read_text() + "\n")
    [after, same] = signatures.asked(Settings(models_dir=models))
    assert before.sha256 != after.sha256
    assert other == same


@pytest.mark.parametrize("content", [None, "{", "[]", '{"id": "one"}', '{"id": "two", "digest": "0"}'])
def test_one_that_cannot_be_read_is_named(models: Path, content: str | None) -> None:
    """Absent, cut, none of one, or of another: never skipped; at the start a fault of the settings."""
    path = models / "signatures" / "one" / "manifest.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    settings = Settings(models_dir=models, signatures=("two", "one"))
    with pytest.raises(Unavailable, match=r"\(one: ") as caught:
        signatures.asked(settings)
    assert caught.value.code is Outage.SIGNATURE_UNREADABLE
    with pytest.raises(SettingsError, match=r"^signatures: one: "):
        signatures.require(settings)


@pytest.mark.parametrize("value", [("a", "a"), ("../other",), ("A",), ("a" * 41,)])
def test_names_are_names(value: tuple[str, ...]) -> None:
    """None twice, none that leads out of the folder, none that no meaning of a code has room for."""
    with pytest.raises(ValueError, match="signatures"):
        Settings(signatures=value)
