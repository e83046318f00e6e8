"""The ranking of a study's series: candidates with traits and score, best first, and a reason for each other one.

Inside stage 4. Comes in: `StudyContent`, `Rules`, and whose segmentations are imported. Goes out: `Ranking`. What can
go wrong: nothing fits; the ranking then holds the study's refusal. Next: `node.selection.choose`, and the dry run.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pydicom.uid import SegmentationStorage

from node.content import Series, StudyContent
from node.core.errors import NotAnalysable
from node.core.reasons import StudyRefusal
from node.core.records import Candidate, Instance, LeftOut
from node.core.settings import ImportRules
from node.selection import exclusion, stacks
from node.selection.rules import Pixels, Rules
from node.selection.score import Score, score
from node.selection.segmentations import segmentations
from node.selection.stacks import Images, Part
from node.selection.traits import Traits, look

_REMARKS = {Pixels.REFORMATTED: "reformatted", Pixels.LOSSY: "compressed with loss"}


@dataclass(frozen=True)
class Ranked:
    """A candidate, and what gave it its place."""

    candidate: Candidate
    series_number: int | None
    traits: Traits
    score: Score
    imported: bool


@dataclass(frozen=True)
class Ranking:
    """Candidates, best first, and all the rest with reasons; `refusal` where there is no candidate."""

    ranked: tuple[Ranked, ...]
    left_out: tuple[LeftOut, ...]
    segmentations: tuple[Instance, ...]
    refusal: NotAnalysable | None = None


@dataclass(frozen=True)
class _Fit:
    series: Series
    part: Part
    traits: Traits
    score: Score
    imported: bool

    @property
    def order(self) -> tuple[bool, float, int, bool, int, str]:
        """What a segmentation to import lies on; then points, slices, the lower series number, the UID."""
        number = self.series.number
        uid = self.series.series_instance_uid
        return not self.imported, -self.score.total, -self.traits.slices, number is None, number or 0, uid


@dataclass(frozen=True)
class _Unfit:
    series: Series
    part: str
    why: str
    few: bool = False


def rank(
    content: StudyContent, imports: ImportRules, minimum_slices: int, named: Instance | None, rules: Rules
) -> Ranking:
    """Rank the series of a study; see `node.selection.choose`."""
    taken, left_segmentations = segmentations(content, imports, named)
    drawn_on = frozenset[str]().union(*(one.refers_to for one in taken))
    fit: list[_Fit] = []
    unfit: list[_Unfit] = []
    for series in content.series:
        for verdict in _judged(series, minimum_slices, drawn_on, rules):
            if isinstance(verdict, _Fit):
                fit.append(verdict)
            else:
                unfit.append(verdict)
    fit.sort(key=lambda one: one.order)
    return Ranking(
        tuple(_ranked(one, place, len(fit)) for place, one in enumerate(fit, 1)),
        (*(_left_out(one) for one in unfit), *left_segmentations),
        (named,) if named else tuple(one.instance for one in taken),
        None if fit else _nothing_fits(unfit),
    )


def _judged(series: Series, minimum_slices: int, drawn_on: Collection[str], rules: Rules) -> Iterator[_Fit | _Unfit]:
    """Yield a verdict for each part of a series that may be a volume by itself; nothing of segmentations."""
    everything = _images(series)
    if not everything:
        return
    images = tuple(one for one in everything if "LOCALIZER" not in one.image_type[2:])
    if why := exclusion.of_series(series, images):
        yield _Unfit(series, "", why)
        return
    for part in stacks.split(images, minimum_slices):
        traits = look(part.images, rules)
        if why := exclusion.of_volume(part.images, traits, rules):
            yield _Unfit(series, part.name, why)
        elif traits.slices < minimum_slices:
            count = f"{traits.slices} axial slice{'s' * (traits.slices != 1)}"
            yield _Unfit(series, part.name, f"{count}, at least {minimum_slices} needed", few=True)
        else:
            imported = _is_drawn_on(series, part.images, drawn_on)
            yield _Fit(series, part, traits, score(traits, rules), imported)


def _images(series: Series) -> Images:
    """Return the instances of a series that are no segmentations."""
    return tuple(one for one in series.headers if one.instance.sop_class_uid != SegmentationStorage)


def _is_drawn_on(series: Series, images: Images, drawn_on: Collection[str]) -> bool:
    """Say whether a segmentation refers to these images, or to their series without naming images of it."""
    named = {one.instance.sop_instance_uid for one in _images(series)}.intersection(drawn_on)
    own = any(one.instance.sop_instance_uid in named for one in images)
    return own or (not named and series.series_instance_uid in drawn_on)


def _ranked(one: _Fit, place: int, count: int) -> Ranked:
    candidate = Candidate(
        one.series.series_instance_uid,
        one.series.description,
        f"{_why(one)}: {place} of {count}",
        tuple(image.instance for image in one.part.images),
        one.part.name,
        one.traits.phase,
    )
    return Ranked(candidate, one.series.number, one.traits, one.score, one.imported)


def _why(one: _Fit) -> str:
    """Return what a radiologist wants to know of a candidate, in the order in which it counts."""
    traits = one.traits
    words = [traits.phase_words, traits.slice_words, traits.kernel_words, f"{traits.coverage_mm:.0f} mm in z"]
    words += [_REMARKS[traits.pixels]] if traits.pixels in _REMARKS else []
    words += one.score.preferences
    localizers = sum("LOCALIZER" in image.image_type[2:] for image in _images(one.series))
    words += [f"{localizers} localizer{'s' * (localizers != 1)} in it left out"] if localizers else []
    words += ["an imported segmentation lies on it"] if one.imported else []
    return (f"{one.part.name}: " if one.part.name else "") + ", ".join(words)


def _left_out(one: _Unfit) -> LeftOut:
    series = one.series
    why = f"{one.part}: {one.why}" if one.part else one.why
    return LeftOut(series.series_instance_uid, series.modality, series.description, why)


def _nothing_fits(unfit: list[_Unfit]) -> NotAnalysable:
    """Return the refusal of a study: the reason of the series that came furthest, and a count of all reasons."""
    few = any(one.few for one in unfit)
    reasons = Counter(one.why for one in unfit)
    detail = "; ".join(f"{count} series: {why}" for why, count in sorted(reasons.items())) or "no images"
    return NotAnalysable(StudyRefusal.TOO_FEW_SLICES if few else StudyRefusal.NO_SUITABLE_SERIES, detail)
