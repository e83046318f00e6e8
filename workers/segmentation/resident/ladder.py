"""What is done where a GPU has no memory left for a study: a step down, told in a note, and the study from the start.

In: the device and resolution that the site set. Out: the steps, the first of which is as the site set it. What can go
wrong: nothing. Next: `workers.segmentation.resident` takes one after the other until the study fits.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """How a study is run: device, `total` at 3 mm, edge of a tile as a part of the plans', and what a note says."""

    device: str
    fast: bool
    share: float = 1.0
    note: str = ""


SMALLER = 0.75
"""Edge of the smaller tiles: less than half of the voxels at once."""


def steps(device: str, *, fast: bool, further: bool) -> tuple[Step, ...]:
    """Return the steps; `further` is whether any comes after the first. A CPU has only one."""
    coarse = "TotalSegmentator ran at 3 mm."
    first = Step(device, fast, note=coarse if fast else "")
    if device == "cpu" or not further:
        return (first,)
    full = "The GPU had too little memory: "
    small = Step(device, fast, SMALLER, _joined(first.note, f"{full}TotalSegmentator ran in smaller tiles."))
    at_3_mm = Step(device, True, SMALLER, f"{full}TotalSegmentator ran at 3 mm and in smaller tiles.")
    cpu = Step("cpu", fast, note=_joined(first.note, f"{full}TotalSegmentator ran on the CPU."))
    return (first, small, cpu) if fast else (first, small, at_3_mm, cpu)


def _joined(*sentences: str) -> str:
    return " ".join(one for one in sentences if one)
