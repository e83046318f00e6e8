"""The surface that marching cubes draws through eight voxels: its triangles, for each of the 256 cubes.

Comes in: nothing, or counts of cubes. Goes out: area and volume. What can go wrong: nothing. Next: `shape`.

A cube has a voxel at each corner; corner (z, y, x) is bit 4 z + 2 y + x of its code. The surface cuts an edge half-way
where one end is inside and the other outside. One cube of each kind is written down as PyRadiomics draws it; the
others are its rotations. Where corner (1, 1, 0) is inside, PyRadiomics draws the cube with inside and outside
exchanged, turned over. So two cubes that share a face with two corners inside, across, may not fit together: the
surface then has a hole, and the volume, a sum of tetrahedra to the first corner of the image, is PyRadiomics' only
with the same corner.
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

# The middles of the edges, seen from the middle of the cube: (z, y, x).
_MIDDLES = {
    "a": (-1, -1, 0),
    "b": (-1, 0, 1),
    "c": (-1, 1, 0),
    "d": (-1, 0, -1),
    "e": (1, -1, 0),
    "f": (1, 0, 1),
    "g": (1, 1, 0),
    "h": (1, 0, -1),
    "i": (0, -1, -1),
    "j": (0, -1, 1),
    "k": (0, 1, 1),
    "l": (0, 1, -1),
}
# Code of a cube: its triangles as fans, each of which opens at its first point and turns outward.
_KINDS = {
    0b00000001: "aid",
    0b00000011: "bjid",
    0b00001001: "bck aid",
    0b00001011: "idckj",
    0b00001111: "ilkj",
    0b00011000: "bck ieh",
    0b00011001: "daeh bck",
    0b00011011: "dch jehck",
    0b00010110: "abj dlc ieh",
    0b00010111: "leh jelcb",
    0b00011101: "leh baelk",
    0b00011110: "ieh jadlk",
    0b00011111: "lkjeh",
    0b00111100: "jfhi dlkb",
    0b00111101: "ajfhlkb",
    0b00111111: "lkfh",
    0b10010110: "kgf abj dlc ieh",
    0b10010111: "kgf bjc lcjeh",
    0b10011111: "jehlgf",
    0b10111101: "lgh ajb",
    0b10111111: "lgh",
}
_TURNED = 1 << 6
_CORNERS = np.array(list(product((-1, 1), repeat=3)))


@dataclass(frozen=True)
class Triangles:
    """All triangles of all cubes, in halves of an edge.

    Parameters
    ----------
    code
        The cube of each triangle.
    across
        The cross product of two of its sides, outward: its length is twice the area.
    volume
        Six times the volume of its tetrahedron to corner (0, 0, 0) of the cube.
    """

    code: NDArray[np.int64]
    across: NDArray[np.int64]
    volume: NDArray[np.int64]


def area_mm2(count: NDArray[np.int64], spacing_mm: tuple[float, float, float]) -> float:
    """Return the area of a surface that has so many cubes of each code."""
    triangles = _triangles()
    z, y, x = spacing_mm
    areas = np.linalg.norm(triangles.across * np.array([y * x, z * x, z * y]), axis=1) / 8
    return float((areas * count[triangles.code]).sum())


def volume_mm3(count: NDArray[np.int64], place: NDArray[np.int64], spacing_mm: tuple[float, float, float]) -> float:
    """Return the volume inside a surface that has so many cubes of each code.

    `place` is the sum of the first corners (z, y, x) of the cubes of each code: what a tetrahedron to the corner of the
    image has more than one to the corner of its cube is linear in the place of the cube.
    """
    triangles = _triangles()
    own = int((triangles.volume * count[triangles.code]).sum())
    moved = int((2 * triangles.across * place[triangles.code]).sum())
    return (own + moved) / 48 * float(np.prod(spacing_mm))


@cache
def _triangles() -> Triangles:
    drawn: dict[int, NDArray[np.int64]] = {}
    for kind, fans in _KINDS.items():
        points = np.array([[_MIDDLES[one] for one in three] for three in _cut(fans)])
        corners = _CORNERS[[bool(kind >> bit & 1) for bit in range(8)]]
        for turn in _turns():
            drawn.setdefault(_code(corners @ turn), points @ turn)
    cubes = [_as_drawn(code, drawn) for code in range(1, 255)]
    code = np.repeat(np.arange(1, 255), [len(one) for one in cubes])
    first, second, third = (np.concatenate(cubes) + 1).transpose(1, 0, 2)
    across = np.cross(second - first, third - first)
    return Triangles(code, across, (np.cross(first, second) * third).sum(axis=1))


def _cut(fans: str) -> list[tuple[str, str, str]]:
    return [(fan[0], fan[k], fan[k + 1]) for fan in fans.split() for k in range(1, len(fan) - 1)]


def _turns() -> list[NDArray[np.int64]]:
    """Return the 24 rotations of a cube."""
    signed = [
        np.eye(3, dtype=np.int64)[list(order)] * np.array(signs)
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]
    return [one for one in signed if np.linalg.det(one) > 0]


def _code(corners: NDArray[np.int64]) -> int:
    return int((1 << ((corners > 0) @ np.array([4, 2, 1]))).sum())


def _as_drawn(code: int, drawn: dict[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the triangles of a cube: its own, or, where corner (1, 1, 0) is inside, its opposite's, turned over."""
    return drawn[255 - code][:, ::-1] if code & _TURNED else drawn[code]
