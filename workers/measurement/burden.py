"""Tumour burden: number of liver lesions, largest axial diameter [mm], tumour burden score.

Not built yet: the three numbers say so. Source of the score: Sasaki et al., Ann Surg 2018.
"""

from node.core.records import Measurement
from workers.records import LabelMap, Volume


def measure(volume: Volume, labels: LabelMap) -> dict[str, Measurement]:
    """Return nothing: the three `burden.*` numbers are `not-built`."""
    del volume, labels
    return {}
