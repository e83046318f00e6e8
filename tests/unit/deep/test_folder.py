"""Networks of deep features as files: what is read, and what is not."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_network import ARCHITECTURE, arrays, described, installed
from pydantic import ValidationError
from safetensors.numpy import save

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from node.core.settings import Settings
from workers.measurement.deep import folder
from workers.measurement.deep.description import Architecture

NETWORK, WEIGHTS = "network.json", "weights.safetensors"


def refused(models: Path, id_: str = "made", digest: str | None = None) -> tuple[RegionRefusal, str]:
    with pytest.raises(NotExtractable) as error:
        folder.read(models, id_, digest)
    return error.value.code, error.value.detail


def test_a_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Description and arrays come back, the arrays as numbers of 64 bits; by its digest too."""
    description = installed(tmp_path)
    assert folder.ids(tmp_path) == ("made",)
    assert sorted(path.name for path in (tmp_path / "deep" / "made").iterdir()) == [NETWORK, WEIGHTS]
    found = folder.read(tmp_path, "made", description.digest)
    assert found.description == description
    assert {array.dtype for array in found.arrays.values()} == {np.dtype(np.float64)}
    assert all(np.array_equal(found.arrays[name], array) for name, array in arrays().items())


@pytest.mark.parametrize("id_", ["other", "../deep/made", "", "/etc"])
def test_a_network_that_is_not_installed_is_told_with_those_that_are(tmp_path: Path, id_: str) -> None:
    """An id is a name and no path."""
    installed(tmp_path)
    code, detail = refused(tmp_path, id_)
    assert (code, detail.endswith("there are: made")) == (RegionRefusal.NETWORK_MISSING, True)


def test_a_network_without_its_weights_is_missing(tmp_path: Path) -> None:
    """The description alone is none."""
    installed(tmp_path)
    (tmp_path / "deep" / "made" / WEIGHTS).unlink()
    assert refused(tmp_path) == (RegionRefusal.NETWORK_MISSING, f"made: no {WEIGHTS}")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (WEIGHTS, lambda content: content[:-1] + bytes([content[-1] ^ 1])),
        (WEIGHTS, lambda content: content[:-1]),
        (WEIGHTS, lambda content: content + b"x"),
        (NETWORK, lambda content: content.replace(b"Made for tests", b"Trained on patients")),
        (NETWORK, lambda content: content.replace(b'"samples": 2', b'"samples": 0')),
        (NETWORK, lambda content: content.replace(b'"digest"', b'"digset"')),
        (NETWORK, lambda content: content[:-5]),
        (NETWORK, lambda _: b"[]"),
        (NETWORK, lambda _: b"\xff"),
    ],
)
def test_a_file_that_was_changed_is_not_trusted(tmp_path: Path, file: str, change: Callable[[bytes], bytes]) -> None:
    """A bit of the weights, a word of the description: each is `network-untrusted`."""
    installed(tmp_path)
    path = tmp_path / "deep" / "made" / file
    path.write_bytes(change(path.read_bytes()))
    assert refused(tmp_path)[0] is RegionRefusal.NETWORK_UNTRUSTED


def test_another_network_than_the_one_that_is_asked_for_is_not_trusted(tmp_path: Path) -> None:
    """A sound network of the same id that is not of the digest that a signature names."""
    installed(tmp_path)
    code, detail = refused(tmp_path, digest=described().digest)
    assert (code, "is asked for" in detail) == (RegionRefusal.NETWORK_UNTRUSTED, True)


def test_a_network_in_the_folder_of_another_is_not_trusted(tmp_path: Path) -> None:
    """A network is of the folder that has its id."""
    installed(tmp_path)
    (tmp_path / "deep" / "made").rename(tmp_path / "deep" / "other")
    assert refused(tmp_path, "other") == (RegionRefusal.NETWORK_UNTRUSTED, "other: it is of made")


def without(name: str) -> dict[str, Any]:
    return {key: array for key, array in arrays().items() if key != name}


@pytest.mark.parametrize(
    "weights",
    [
        save(without("projection")),
        save({**arrays(), "more": np.zeros(3, np.float32)}),
        save({**arrays(), "projection": np.zeros((255, 20), np.float32)}),
        save({**arrays(), "projection": np.full((256, 20), np.nan, np.float32)}),
        save({**arrays(), "projection": np.zeros((256, 20), np.int32)}),
        b"\x00" * 64,
    ],
    ids=["one lacks", "one more", "another shape", "not finite", "whole numbers", "no safetensors"],
)
def test_weights_that_are_not_of_the_architecture_are_not_trusted(tmp_path: Path, weights: bytes) -> None:
    """Also where digest and size are right."""
    installed(tmp_path, weights)
    assert refused(tmp_path)[0] is RegionRefusal.NETWORK_UNTRUSTED


class Bomb:
    """What leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    """Weights that are a pickle, with the right digest, are refused, and nothing in it runs."""
    trace = tmp_path / "trace"
    bomb = pickle.dumps(Bomb(trace))
    installed(tmp_path, bomb)
    assert refused(tmp_path)[0] is RegionRefusal.NETWORK_UNTRUSTED
    assert not trace.exists()
    pickle.loads(bomb)  # noqa: S301 - our own
    assert trace.exists()


@pytest.mark.parametrize(
    "change",
    [{"features": (4,)}, {"convolutions": (1,)}, {"strides": ((1, 1, 1), (1, 1, 3))}, {"convolutions": (1, 0)}],
)
def test_an_architecture_is_whole(change: dict[str, Any]) -> None:
    """Each stage has channels, a stride of 1 or 2, and a convolution."""
    with pytest.raises(ValidationError):
        Architecture(**{**ARCHITECTURE, **change})


def test_every_network_that_is_shipped_is_sound() -> None:
    """Each is found where the settings look for models, and the example says that it is none for prognosis."""
    models = Settings().models
    assert "demo-encoder" in folder.ids(models)
    for id_ in folder.ids(models):
        assert folder.read(models, id_).arrays
    assert "never trained for prognosis" in folder.read(models, "demo-encoder").description.trained_for
