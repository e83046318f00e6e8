"""The example of a network of deep features: the encoder of the demonstration model, pooled and projected.

Comes in: a folder of the demonstration model that is proven. Goes out: the description and the bytes of the weights,
the same bytes wherever it is done. What can go wrong: OSError, KeyError or ValueError for a folder that is not this
model. Next: `workers.measurement.deep.folder` writes and reads them.

Of the two networks it is `structures`, whose voxels are fine enough for a lesion. Beside the CT that one was shown
where the other had found liver and psoas; here it is shown nothing of it, which is its first convolution without those
channels. Weights keep their 16 bits; a bias before an instance norm changes nothing and is left out.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from workers.measurement.deep.description import Architecture, Description, Input, Weights, convolution
from workers.segmentation import manifest
from workers.segmentation.demo.folder import CONFIGURATION, PLANS, WEIGHTS
from workers.segmentation.demo.tasks import CLIP_HU, MEAN_HU, SD_HU, STRUCTURES_TASK
from workers.signature.deep import COUNT

ID = "demo-encoder"
SLOPE = 0.01  # torch.nn.LeakyReLU's own, which the plans leave as it is
SEED, ROUNDS = 8, 12
MARGIN_MM, SAMPLES, MOST_VOXELS = 24.0, 3, 2_000_000


def convert(demo: Path) -> tuple[Description, bytes]:
    """Return the example, made from the demonstration model in a folder."""
    names = [f"{STRUCTURES_TASK.name}/{file}" for file in (PLANS, WEIGHTS)]
    plans = json.loads((demo / names[0]).read_text(encoding="utf-8"))
    chain = _architecture(plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"])
    with np.load(demo / names[1], allow_pickle=False) as file:
        arrays = _encoder(chain, file)
    arrays["projection"] = projection(2 * sum(chain.features)).astype(np.float32)
    weights = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    sources = {name: entry["sha256"] for name, entry in manifest.entries_of(demo, names).items()}
    return _description(chain, sources, weights), weights


def projection(count: int) -> NDArray[np.float64]:
    """Return 256 orthonormal rows: random pairs of dimensions, each turned by 45 degrees, over and over.

    Nothing is summed up, so that every machine gives the same bits.
    """
    order = np.random.Generator(np.random.PCG64(SEED))
    found = np.eye(count)
    for _ in range(ROUNDS):
        pairs = order.permutation(count)
        first, second = found[pairs[::2]], found[pairs[1::2]]
        found[pairs[::2]], found[pairs[1::2]] = (first + second) * np.sqrt(0.5), (first - second) * np.sqrt(0.5)
    return found[:COUNT]


def _architecture(words: dict[str, Any]) -> Architecture:
    return Architecture(
        features=words["features_per_stage"],
        strides=words["strides"],
        convolutions=words["n_conv_per_stage"],
        epsilon=words["norm_op_kwargs"]["eps"],
        slope=SLOPE,
    )


def _encoder(chain: Architecture, arrays: Any) -> dict[str, NDArray[Any]]:
    """Return the encoder's arrays under the names of a description."""
    found = {}
    for stage, count in enumerate(chain.convolutions):
        for number in range(count):
            name, theirs = convolution(stage, number), f"encoder.stages.{stage}.0.convs.{number}"
            weight = arrays[f"{theirs}.conv.weight"]
            found[f"{name}.weight"] = weight if stage or number else weight[:, :1]
            found[f"{name}.scale"] = arrays[f"{theirs}.norm.weight"]
            found[f"{name}.shift"] = arrays[f"{theirs}.norm.bias"]
    return found


def _description(chain: Architecture, sources: dict[str, str], weights: bytes) -> Description:
    return Description(
        id=ID,
        version="1",
        title="The encoder of the demonstration model: an example of the form, and for tests",
        trained_for="To label the organs of synthetic abdomens made of formulas. It has seen no patient and no "
        "outcome: it was never trained for prognosis, and its values are not known to foretell anything.",
        licence="Apache-2.0",
        provenance="python -m workers.training deep: the encoder of the network `structures` without the channels that "
        "show what another network found; weights as they are there, biases before an instance norm left out.",
        sources=sources,
        input=Input(
            spacing_mm=STRUCTURES_TASK.spacing_mm,
            samples=SAMPLES,
            margin_mm=MARGIN_MM,
            least_voxels=STRUCTURES_TASK.patch,
            most_voxels=MOST_VOXELS,
            outside_hu=-1000.0,
            clip_hu=CLIP_HU,
            mean_hu=MEAN_HU,
            sd_hu=SD_HU,
        ),
        architecture=chain,
        projection=f"{COUNT} orthonormal rows: of {ROUNDS} rounds in which random pairs of dimensions are turned by 45 "
        f"degrees (NumPy's PCG64, seed {SEED}) the first ones.",
        weights=Weights(bytes=len(weights), sha256=hashlib.sha256(weights).hexdigest()),
    )
