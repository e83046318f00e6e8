"""What the headers tell of images that may be a volume: coverage, slices, kernel, phase, field of view, pixels.

Inside stage 4. Comes in: images of one plane, and the rules' words. Goes out: `Traits`. What can go wrong: nothing;
what a header does not tell is unknown. Next: `node.selection.exclusion` and `node.selection.score` judge by them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from node.content import Header
from node.selection.rules import Kernel, Phase, Pixels, Place, Rules, folded
from node.selection.stacks import along_normal_mm, slices_of

_WORDS = {
    Phase.PORTAL_VENOUS: "portal venous",
    Phase.ARTERIAL: "arterial",
    Phase.LATE: "late phase",
    Phase.CONTRAST: "with contrast, phase not told",
    Phase.NATIVE: "native",
    Phase.UNKNOWN: "phase not told",
}
_REFORMATS = frozenset({"MPR", "REFORMATTED", "OBLIQUE"})


@dataclass(frozen=True)
class Traits:
    """What a volume would be, by its headers.

    Parameters
    ----------
    coverage_mm
        Along the normal of the slices, from the first to the last, a slice step included.
    thickness_mm
        Slice Thickness, the median; None where no header tells it.
    step_mm
        Median distance of neighbouring slices; None where there is but one position.
    field_of_view_mm
        The shorter side of the image, or the diameter of what was reconstructed where that is less.
    phase_by
        How the phase is known: `description`, `protocol`, `70 s after the injection`, `contrast agent`; else empty.
    texts
        What patterns are looked for in, folded.
    """

    slices: int
    coverage_mm: float
    thickness_mm: float | None
    step_mm: float | None
    field_of_view_mm: float
    kernel: Kernel
    kernel_name: str
    phase: Phase
    phase_by: str
    pixels: Pixels
    texts: Mapping[Place, str]

    @property
    def depth_mm(self) -> float | None:
        """Extent of a voxel across the slices: the thickness, or the step where that is more; None if unknown."""
        known = [size for size in (self.thickness_mm, self.step_mm) if size is not None]
        return max(known) if known else None

    @property
    def phase_words(self) -> str:
        """The phase for a reader, with the delay where that tells it."""
        delay = f" ({self.phase_by})" if "after" in self.phase_by else ""
        return _WORDS[self.phase] + delay

    @property
    def slice_words(self) -> str:
        """Thickness and step for a reader."""
        if self.thickness_mm is None:
            return "thickness not told" if self.step_mm is None else f"a slice every {self.step_mm:.3g} mm"
        apart = self.step_mm is not None and abs(self.step_mm - self.thickness_mm) > 0.05 * self.thickness_mm
        return f"{self.thickness_mm:.3g} mm" + (f" every {self.step_mm:.3g} mm" if apart else "")

    @property
    def kernel_words(self) -> str:
        """The kernel for a reader."""
        if self.kernel is Kernel.UNKNOWN:
            return f"kernel {self.kernel_name}, of unknown kind" if self.kernel_name else "kernel not told"
        return f"{self.kernel} kernel {self.kernel_name}".rstrip()


def look(images: Sequence[Header], rules: Rules) -> Traits:
    """Return the traits of images of one plane."""
    heights = np.unique(np.round(along_normal_mm(images), 2))
    step_mm = float(np.median(np.diff(heights))) if len(heights) > 1 else None
    thicknesses = [size for one in images if (size := one.technique.slice_thickness_mm) is not None]
    thickness_mm = median(thicknesses) if thicknesses else None
    texts = _texts(images[0])
    kernel, name = _kernel(images[0].technique.kernel, texts, rules)
    phase, phase_by = _phase(images, texts, rules)
    return Traits(
        slices=slices_of(images),
        coverage_mm=float(np.ptp(heights)) + (step_mm or thickness_mm or 0.0),
        thickness_mm=thickness_mm,
        step_mm=step_mm,
        field_of_view_mm=_field_of_view_mm(images[0]),
        kernel=kernel,
        kernel_name=name,
        phase=phase,
        phase_by=phase_by,
        pixels=_pixels(images),
        texts=texts,
    )


def image_words(image: Header) -> set[str]:
    """Return the words of Image Type behind its first two values, which have terms of their own."""
    return {word for value in image.image_type[2:] for word in re.split(r"[^A-Z_]+", value)}


def _texts(image: Header) -> dict[Place, str]:
    technique = image.technique
    return {
        Place.DESCRIPTION: folded(image.series_description),
        Place.PROTOCOL: folded(technique.protocol),
        Place.BODY_PART: folded(technique.body_part),
        Place.IMAGE_TYPE: folded(" ".join(image.image_type)),
        Place.KERNEL: folded(" ".join(technique.kernel)),
    }


def _field_of_view_mm(image: Header) -> float:
    if image.plane is None:
        return 0.0
    rows_mm, columns_mm = image.plane.pixel_spacing_mm
    side_mm = min(image.plane.rows * rows_mm, image.plane.columns * columns_mm)
    return min(side_mm, image.technique.field_of_view_mm or side_mm)


def _kernel(names: Sequence[str], texts: Mapping[Place, str], rules: Rules) -> tuple[Kernel, str]:
    """Return the kind of kernel and its name: by the first value that is known, else by words of the description."""
    for name in names:
        for kind, known in rules.kernels.items():
            if any(pattern.fullmatch(folded(name)) for pattern in known.names):
                return kind, name
    if names:
        return Kernel.UNKNOWN, names[0]
    for kind, known in rules.kernels.items():
        if any(pattern.search(texts[Place.DESCRIPTION]) for pattern in known.words):
            return kind, ""
    return Kernel.UNKNOWN, ""


def _phase(images: Sequence[Header], texts: Mapping[Place, str], rules: Rules) -> tuple[Phase, str]:
    """Return the phase and how it is known: by words, else by the delay, else by the agent."""
    told: tuple[Phase, str] | None = None
    for place in (Place.DESCRIPTION, Place.PROTOCOL):
        named = _named_phase(texts[place], rules)
        if named is not None and named is not Phase.CONTRAST:
            return named, place.value
        told = told or ((named, place.value) if named else None)
    delays_s = [delay for one in images if (delay := one.technique.contrast_delay_s) is not None]
    injected = any(_injected(one, rules) for one in images)
    for phase, (begin_s, end_s) in rules.delays_s.items():
        if delays_s and begin_s <= min(delays_s) < end_s:
            return phase, f"{min(delays_s):.0f} s after the injection"
    if told is not None:
        return told
    return (Phase.CONTRAST, "contrast agent") if injected else (Phase.UNKNOWN, "")


def _named_phase(words: str, rules: Rules) -> Phase | None:
    """Return the phase that words name; None where they name none, or native beside another."""
    named = {phase for phase, patterns in rules.phases.items() if any(one.search(words) for one in patterns)}
    exact = named - {Phase.CONTRAST}
    if len(exact) == 1:
        return exact.pop()
    if Phase.NATIVE in exact:
        return None
    return Phase.CONTRAST if named else None


def _injected(image: Header, rules: Rules) -> bool:
    """Say whether a contrast agent went into a vein, by Contrast/Bolus Agent and Route."""
    agent, route = folded(image.technique.contrast_agent), folded(image.technique.contrast_route)
    return (
        bool(agent)
        and not any(one.search(agent) for one in rules.no_injection.agents)
        and not any(one.search(route) for one in rules.no_injection.routes)
    )


def _pixels(images: Sequence[Header]) -> Pixels:
    """Return what was done to the pixels of the images: the worst of all of them."""
    if any(one.technique.lossy for one in images):
        return Pixels.LOSSY
    first = images[0].image_type
    if any(image_words(one) & _REFORMATS for one in images):
        return Pixels.REFORMATTED
    if first[:1] == ("ORIGINAL",):
        return Pixels.ORIGINAL
    if first[:1] == ("DERIVED",):
        return Pixels.DERIVED if first[1:2] == ("PRIMARY",) else Pixels.PROCESSED
    return Pixels.UNKNOWN
