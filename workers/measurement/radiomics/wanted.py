"""What is asked for of each region: radiomic features, deep features, or both.

Comes in: an image and masks (SimpleITK), each with its label. Goes out: `Features` of each, the deep ones last, or why
a region has none: where it lacks one kind, it has neither. Nothing can go wrong. Next: `table`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import SimpleITK

from node.core.errors import NotExtractable
from workers.measurement.deep.embedding import embed, told
from workers.measurement.deep.folder import Network
from workers.measurement.radiomics.engine import Engine, extract_each
from workers.measurement.radiomics.features import Features
from workers.measurement.radiomics.parameters import DEFAULTS, Parameters


@dataclass(frozen=True)
class Wanted:
    """What is asked for; `parameters` and `network` are None where none of their features are."""

    parameters: Parameters | None
    engine: Engine
    network: Network | None

    def of_each(
        self, image: SimpleITK.Image, regions: Sequence[tuple[SimpleITK.Image, int | None]]
    ) -> list[Features | NotExtractable]:
        """Compute what is asked for of regions of an image; None as a label is that of the parameters."""
        found = self._radiomic(image, regions)
        if self.network is None:
            return found
        return [
            one if isinstance(one, NotExtractable) else _with_deep(one, self.network, image, mask, self._label(label))
            for one, (mask, label) in zip(found, regions, strict=True)
        ]

    def _radiomic(
        self, image: SimpleITK.Image, regions: Sequence[tuple[SimpleITK.Image, int | None]]
    ) -> list[Features | NotExtractable]:
        if self.parameters is None:
            return [Features({}, {}) for _ in regions]
        own = [self.parameters if label is None else self.parameters.of_label(label) for _, label in regions]
        return extract_each(image, [(mask, one) for (mask, _), one in zip(regions, own, strict=True)], self.engine)

    def _label(self, label: int | None) -> int:
        if label is not None:
            return label
        return self.parameters.settings.label if self.parameters else int(DEFAULTS["label"])


def _with_deep(
    found: Features, network: Network, image: SimpleITK.Image, mask: SimpleITK.Image, label: int
) -> Features | NotExtractable:
    try:
        deep = embed(network, image, mask, label)
    except NotExtractable as error:
        return error
    return Features({**found.values, **deep}, {**found.diagnostics, **told(network)})
