"""The example of a network of deep features is the encoder of the demonstration model, and nnU-Net's own."""

from pathlib import Path

import numpy as np
import pytest

from workers.measurement.deep import folder
from workers.measurement.deep.encoder import pooled
from workers.measurement.deep.patch import Patch
from workers.training.deep import convert, projection

MODELS = Path(__file__).parents[3] / "models"


def test_the_example_is_made_of_the_demonstration_model() -> None:
    """Made anew it has the same digests."""
    description, weights = convert(MODELS / "demo")
    shipped = MODELS / "deep" / description.id
    assert weights == (shipped / "weights.safetensors").read_bytes()
    assert folder.read(MODELS, description.id, description.digest).description == description


def test_the_projection_keeps_distances() -> None:
    """Its rows are orthonormal, and each is of most dimensions."""
    rows = projection(416)
    assert rows.shape == (256, 416)
    assert np.allclose(rows @ rows.T, np.eye(256), atol=1e-12)
    assert (np.abs(rows) > 1e-6).sum(axis=1).min() > 208


def test_pooled_values_are_those_of_the_encoder_of_nnunet() -> None:
    """Its own class with the weights of the demonstration model, nothing shown beside the CT, in float64."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: worker)")
    encoders = pytest.importorskip("dynamic_network_architectures.building_blocks.plain_conv_encoder")
    noise = np.random.default_rng(2)
    patch = Patch(noise.normal(size=(19, 24, 17)), np.zeros((19, 24, 17)))
    patch.shares[6:14, 7:18, 5:12] = noise.random((8, 11, 7))
    network = encoders.PlainConvEncoder(
        4, 4, [16, 32, 64, 96], torch.nn.Conv3d, 3, [1, 2, 2, 2], [1, 2, 2, 2], True,
        torch.nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}, None, None,
        torch.nn.LeakyReLU, {"inplace": True}, return_skips=True,
    ).double()  # fmt: skip
    with np.load(MODELS / "demo" / "structures" / "fold_0" / "weights.npz") as file:
        state = {
            name.removeprefix("encoder."): torch.from_numpy(file[name].astype(np.float64))
            for name in file.files
            if name.startswith("encoder.")
        }
    assert {name for name, _ in network.named_parameters()} == state.keys()
    network.load_state_dict(state, strict=False)  # some parameters have a second name
    seen = torch.zeros((1, 4, *patch.values.shape), dtype=torch.float64)
    seen[0, 0] = torch.from_numpy(patch.values)
    near = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    kernel = torch.einsum("i,j,k->ijk", near, near, near)[None, None]
    shares = torch.from_numpy(patch.shares)[None, None]
    means, sds = [], []
    with torch.no_grad():
        for stage, found in enumerate(network(seen)):
            shares = torch.nn.functional.conv3d(shares, kernel, stride=2, padding=1) if stage else shares
            mean = (found * shares).sum((2, 3, 4)) / shares.sum()
            sds.append((((found - mean[..., None, None, None]) ** 2 * shares).sum((2, 3, 4)) / shares.sum()).sqrt()[0])
            means.append(mean[0])
    wanted = torch.cat(means + sds).numpy()
    assert pooled(folder.read(MODELS, "demo-encoder"), patch) == pytest.approx(wanted, abs=1e-10)
