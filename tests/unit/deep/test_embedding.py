"""What the network sees of an image, and the 256 values: the same however a file keeps it, and on every run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from made_network import image_of, installed, network, scene
from made_signature import deep_signature, known

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from node.core.settings import Settings
from workers.measurement.deep import folder
from workers.measurement.deep.embedding import embed, of_signature
from workers.measurement.deep.encoder import _halved, pooled
from workers.measurement.deep.patch import cut
from workers.signature.deep import NAMES
from workers.signature.score import Scored, score

ALONE = """
import json, sys
from pathlib import Path
from made_network import scene
from workers.measurement.deep import embedding, folder
from workers.measurement.deep.encoder import pooled
from workers.measurement.deep.patch import cut
network = folder.read(Path(sys.argv[1]), "demo-encoder")
found = pooled(network, cut(*scene(), 1, network.description.input))
print(json.dumps([found.tolist(), "torch" in sys.modules]))
"""


def test_there_are_256_values() -> None:
    """Of finite numbers with six decimals, which tell two regions apart."""
    image, mask = scene()
    found = embed(network(), image, mask)
    assert tuple(found) == NAMES
    assert len(NAMES) == 256
    assert np.isfinite(list(found.values())).all()
    assert all(value == round(value, 6) for value in found.values())
    seen = cut(image, mask, 1, network().description.input)
    assert list(found.values()) == pytest.approx(network().arrays["projection"] @ pooled(network(), seen), abs=1e-6)
    other = embed(network(), image, SimpleITK.BinaryErode(mask, (1, 1, 1)))
    assert found != other


def test_every_process_gives_the_same_bits() -> None:
    """By the network that is shipped, on one thread and two, without torch; and as they were when it was made."""
    found = []
    for threads in ("1", "2"):
        many = dict.fromkeys(("OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), threads)
        env = {**os.environ, **many, "PYTHONHASHSEED": threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-P", "-c", ALONE, Settings().models],
            env=env,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    values, loaded = found[0]
    assert not loaded
    assert values[::104] == pytest.approx(WANTED, abs=1e-6)


WANTED = [4.6850215, 0.5616138, 0.7659014, 1.5555564]


@pytest.mark.parametrize("axes", [(True, False, False), (False, True, False), (False, False, True)])
def test_the_order_of_slices_rows_and_columns_does_not_matter(axes: tuple[bool, bool, bool]) -> None:
    """A file that keeps them the other way round, as its header says, gives the same values."""
    image, mask = scene()
    wanted = embed(network(), image, mask)
    found = embed(network(), SimpleITK.Flip(image, axes), SimpleITK.Flip(mask, axes))
    assert SimpleITK.Flip(image, axes).GetDirection() != image.GetDirection()
    assert found == pytest.approx(wanted, abs=2e-6)


def test_another_order_of_axes_does_not_matter() -> None:
    """Sagittal slices of the same body give the same values."""
    image, mask = scene()
    found = embed(network(), *(SimpleITK.PermuteAxes(one, (1, 2, 0)) for one in (image, mask)))
    assert found == pytest.approx(embed(network(), image, mask), abs=2e-6)


def test_a_mirror_image_of_the_body_is_another_one() -> None:
    """Voxels the other way round under the same header."""
    image, mask = scene()
    turned = [image_of(SimpleITK.GetArrayFromImage(one)[:, :, ::-1].copy()) for one in (image, mask)]
    assert embed(network(), *turned) != pytest.approx(embed(network(), image, mask), abs=1e-3)


def test_what_lies_beyond_the_box_does_not_matter() -> None:
    """A smaller cut of the same scan, and a mask on a grid of its own."""
    image, mask = scene()
    own = network(least_voxels=(1, 1, 1), margin_mm=3.0)
    wanted = embed(own, image, mask)
    assert embed(own, image[3:, 2:, 4:-1], mask) == pytest.approx(wanted, abs=2e-6)
    assert embed(own, image, mask[8:22, 7:22, 6:18]) == wanted
    assert embed(own, image[8:, 2:, 4:-1], mask) != pytest.approx(wanted, abs=1e-3)


def test_the_number_of_a_label_and_the_labels_beside_it_do_not_matter() -> None:
    """A region with another number, touched by a second one, has the same values."""
    image, mask = scene()
    labels = SimpleITK.GetArrayFromImage(mask) * 7
    labels[labels == 0] = 2
    labels[:2] = 0
    assert embed(network(), image, image_of(labels), 7) == embed(network(), image, mask)


def test_voxels_are_means_in_units_of_the_network() -> None:
    """By hand: 140 HU beside 300 HU, air beyond the image, the part of a voxel that is of the region."""
    values = np.full((6, 6, 6), 140, dtype=np.int16)
    values[:, :, 3:] = 300
    labels = np.zeros((6, 6, 6), dtype=np.uint8)
    labels[2:4, 1:5, 2:4] = 1
    labels[3, 1:3, 2] = 0
    found = cut(image_of(values), image_of(labels), 1, network(margin_mm=0.0, least_voxels=(5, 2, 3)).description.input)
    assert found.values.shape == found.shares.shape == (5, 2, 3)
    assert found.values[1, 0].tolist() == [1.0, 2.0, 3.0]
    assert found.values[0].ravel().tolist() == [-2.75] * 6
    assert found.shares.sum() * 8 == labels.sum() == 14
    assert found.shares[2].tolist() == [[0, 0.75, 0], [0, 1, 0]]
    half = cut(image_of(values), image_of(labels), 1, network(margin_mm=0.0, least_voxels=(5, 2, 2)).description.input)
    assert half.shares[1:4, 1].tolist() == [[0, 0], [0.5, 0.5], [0, 0]]


def test_shares_are_kept_by_a_stride() -> None:
    """Every voxel counts once in all on a coarser grid, on even and odd sizes; a stride of 1 leaves it as it is."""
    shares = np.zeros((9, 8, 10))
    shares[2:7, 1:6, 3:8] = np.random.default_rng(1).random((5, 5, 5))
    coarse = _halved(shares, (2, 2, 2))
    assert coarse.shape == (5, 4, 5)
    assert coarse.sum() * 8 == pytest.approx(shares.sum())
    assert np.array_equal(_halved(shares, (1, 1, 1)), shares)
    point = np.zeros((5, 1, 1))
    point[2] = 1
    assert _halved(point, (2, 1, 1)).ravel().tolist() == [0, 0.5, 0]
    assert _halved(np.roll(point, 1, axis=0), (2, 1, 1)).ravel().tolist() == [0, 0.25, 0.25]


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (RegionRefusal.MASK_EMPTY, {"label": 2}),
        (RegionRefusal.REGION_TOO_LARGE, {"most_voxels": 100}),
        (RegionRefusal.REGION_OUTSIDE, {"shift_mm": 10.0}),
        (RegionRefusal.REGION_TOO_SMALL, {"spacing_mm": (50.0, 50.0, 50.0), "samples": 1, "margin_mm": 25.0}),
    ],
    ids=lambda value: str(value) if isinstance(value, RegionRefusal) else "",
)
def test_a_region_that_has_none_is_refused(code: RegionRefusal, change: dict[str, Any]) -> None:
    """With its code."""
    label, shift_mm = change.pop("label", 1), change.pop("shift_mm", 0.0)
    image, mask = scene()
    mask.SetOrigin([at + shift_mm for at in mask.GetOrigin()])
    with pytest.raises(NotExtractable) as refused:
        embed(network(**change), image, mask, label)
    assert refused.value.code is code


def test_a_signature_with_deep_features_is_scored(tmp_path: Path) -> None:
    """The score by hand from the values of the network that it names."""
    signature = deep_signature(installed(tmp_path).digest)
    image, mask = scene()
    found = of_signature(signature, tmp_path, image, {"tumour": mask}.__getitem__)
    values = embed(folder.read(tmp_path, "made"), image, mask)
    assert found == {f"tumour:{name}": values[name] for name in ("deep_000", "deep_255")}
    answer = score(signature, {**found, "age": 70.0}, known())
    assert isinstance(answer, Scored)
    by_hand = 0.5 * (values["deep_000"] - 1) / 2 - 0.25 * (values["deep_255"] + 1) / 2 + 0.1 * (70 - 60) / 10
    assert answer.score == pytest.approx(by_hand, abs=1e-12)


def test_a_signature_takes_no_other_network(tmp_path: Path) -> None:
    """One of the same id and another digest gives no value; a signature that names none asks for none."""
    installed(tmp_path)
    image, mask = scene()
    with pytest.raises(NotExtractable) as refused:
        of_signature(deep_signature("0" * 64), tmp_path, image, {"tumour": mask}.__getitem__)
    assert refused.value.code is RegionRefusal.NETWORK_UNTRUSTED
