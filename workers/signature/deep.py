"""The names of deep features: what signatures, tables and networks agree on."""

COUNT = 256
_PREFIX = "deep_"
NAMES = tuple(f"{_PREFIX}{number:03d}" for number in range(COUNT))
"""In the order of the network's projection."""
NETWORK, DIGEST = "diagnostics_Deep_Network", "diagnostics_Deep_Digest"
"""Columns of a table that say which network its deep features are of."""


def is_deep(name: str) -> bool:
    """Say whether a name is meant to be that of a deep feature."""
    return name.startswith(_PREFIX)
