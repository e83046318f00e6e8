"""The 256 deep features of a region.

Comes in: image and mask (SimpleITK), a network or a signature that names one. Goes out: `deep_000` to `deep_255`. What
can go wrong: what `folder` and `patch` refuse. Next: the table of features, or a signature.

Values are rounded to six decimals: far finer than they mean anything, and coarse enough to be the same where a
processor adds in another order.
"""

from collections.abc import Callable
from pathlib import Path

import SimpleITK

from workers.measurement.deep.encoder import pooled
from workers.measurement.deep.folder import Network, read
from workers.measurement.deep.patch import cut
from workers.signature.deep import DIGEST, NAMES, NETWORK
from workers.signature.manifest import Signature

_DECIMALS = 6


def embed(network: Network, image: SimpleITK.Image, mask: SimpleITK.Image, label: int = 1) -> dict[str, float]:
    """Compute the deep features of a region.

    Raises
    ------
    NotExtractable
        The region has none.
    """
    values = network.arrays["projection"] @ pooled(network, cut(image, mask, label, network.description.input))
    return dict(zip(NAMES, (round(float(value), _DECIMALS) for value in values), strict=True))


def told(network: Network) -> dict[str, str]:
    """Return what a table says of the network beside the features."""
    return {NETWORK: network.description.id, DIGEST: network.description.digest}


def of_signature(
    signature: Signature, models: Path, image: SimpleITK.Image, mask_of: Callable[[str], SimpleITK.Image]
) -> dict[str, float]:
    """Compute the deep features that a signature uses, by `Feature.column`; none where it names no network.

    Parameters
    ----------
    mask_of
        Gives the mask of a region of interest by its id; the label is 1.

    Raises
    ------
    NotExtractable
        The network is not there, is not the one that the signature names, or a region has no features.
    """
    found: dict[str, float] = {}
    for id_, digest in signature.weights.items():
        network = read(models, id_, digest)
        for roi in dict.fromkeys(one.roi for one in signature.features if one.deep and one.roi):
            values = embed(network, image, mask_of(roi))
            found |= {one.column: values[one.name] for one in signature.features if one.deep and one.roi == roi}
    return found
