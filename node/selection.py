"""Stage 4, selection: which series of a study may be measured, best first, and why the others are left out.

Comes in: `StudyContent`. Goes out: `Choice`, whose candidates are axial CT series ranked by their number of slices,
each frame of an Enhanced CT image being one, and whose segmentations are those that the site's rules let in. What can
go wrong: no series remains (`NotAnalysable`, too-few-slices or no-suitable-series). Faults of geometry (a missing
slice, a position held twice) are for stage 6 to find, which then takes the next candidate. Next: `node.handoff`.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.uid import EnhancedCTImageStorage, SegmentationStorage

from node.content import Choice, Header, Series, StudyContent
from node.core.dicom import IMAGE_CLASSES
from node.core.errors import NotAnalysable
from node.core.grid import is_axial
from node.core.reasons import StudyRefusal
from node.core.records import Candidate, Instance, LeftOut
from node.core.settings import ImportRules

# Projections and renderings, as scanners write them in Image Type: their values are not those of the tissue at the
# place. The words with `_` are terms of PS3.3 C.8.16.2.1.4, the short ones what vendors write for the same.
_PROJECTIONS = frozenset({"MIP", "MINIP", "MAX_IP", "MIN_IP", "VRT", "SSD", "VOLUME_RENDER", "SURFACE_RENDER"})
# Rescale Type (PS3.3 C.11.1.1.2): absent means HU in a CT image; US, unspecified, is what converters write.
_HOUNSFIELD = frozenset({"", "HU", "US"})
# The Manufacturer of our results, in small letters. Intake knows them by UID; this also holds where the ledger is new,
# or another installation made them.
_OURS = "crlm-node"


@dataclass(frozen=True)
class _Verdict:
    """What was found of one series: images that could be a volume, or the reason why there is none."""

    series: Series
    images: tuple[Header, ...]
    refusal: StudyRefusal | None = None
    why: str = ""


def choose(content: StudyContent, imports: ImportRules, minimum_slices: int, named: Instance | None = None) -> Choice:
    """Rank the series of a study.

    Parameters
    ----------
    imports
        Whose segmentations may be imported.
    named
        The one segmentation that a person has named: it is taken whatever the rules say, and no other is.

    Raises
    ------
    NotAnalysable
        No series can be a volume: `too-few-slices` where only slices were missing, else `no-suitable-series`.
    """
    verdicts = [_judge(series, minimum_slices) for series in content.series if _images(series)]
    fit = sorted((one for one in verdicts if one.refusal is None), key=_rank)
    unfit = [one for one in verdicts if one.refusal is not None]
    if not fit:
        raise _nothing_fits(unfit)
    segmentations, left_segmentations = _segmentations(content, imports, named)
    return Choice(
        candidates=tuple(
            Candidate(
                one.series.series_instance_uid,
                one.series.description,
                _why(one, place, len(fit)),
                tuple(image.instance for image in one.images),
            )
            for place, one in enumerate(fit, 1)
        ),
        left_out=(*(_left_out(one.series, one.why) for one in unfit), *left_segmentations),
        segmentations=segmentations,
    )


def _why(verdict: _Verdict, place: int, count: int) -> str:
    localizers = len(_images(verdict.series)) - len(verdict.images)
    without = f", {localizers} localizer{'s' * (localizers != 1)} in it left out" if localizers else ""
    return f"{_slices(verdict.images)} axial slices{without}: number {place} of {count} by count"


def _images(series: Series) -> tuple[Header, ...]:
    """Return the instances of a series that are no segmentations."""
    return tuple(one for one in series.headers if one.instance.sop_class_uid != SegmentationStorage)


def _judge(series: Series, minimum_slices: int) -> _Verdict:
    """Say whether a series can be a volume, by the first rule that it breaks."""
    images = tuple(one for one in _images(series) if "LOCALIZER" not in one.image_type[2:])
    for breaks, why in _RULES:
        if breaks(images):
            return _Verdict(series, (), StudyRefusal.NO_SUITABLE_SERIES, why(series))
    slices = _slices(images)
    if slices < minimum_slices:
        why_few = f"{slices} axial slice{'s' * (slices != 1)}, at least {minimum_slices} needed"
        return _Verdict(series, (), StudyRefusal.TOO_FEW_SLICES, why_few)
    return _Verdict(series, images)


def _not_ct(series: Series) -> str:
    return f"modality {series.modality or 'unknown'}, not CT"


def _any(condition: Callable[[Header], bool]) -> Callable[[tuple[Header, ...]], bool]:
    return lambda images: any(condition(image) for image in images)


def _says(text: str) -> Callable[[Series], str]:
    return lambda _series: text


# In this order: the first that holds is the reason that a person reads.
_RULES: tuple[tuple[Callable[[tuple[Header, ...]], bool], Callable[[Series], str]], ...] = (
    (lambda images: not images, _says("localizer")),
    (_any(lambda image: image.modality != "CT"), _not_ct),
    (
        _any(lambda image: image.instance.sop_class_uid not in IMAGE_CLASSES),
        _says("not stored as CT images: a screen capture or a derived object"),
    ),
    (
        _any(lambda image: image.samples_per_pixel != 1 or (image.frames != 1 and not _multi_frame(image))),
        _says("images of several frames or in colour, not slices"),
    ),
    (_any(lambda image: bool(_image_words(image) & _PROJECTIONS)), _says("a projection or rendering, not slices")),
    (_any(lambda image: image.rescale_type not in _HOUNSFIELD), _says("pixel values are not Hounsfield units")),
    (
        _any(lambda image: image.plane is None),
        _says("position, orientation, pixel spacing or size is missing in at least one image"),
    ),
    (
        lambda images: not any(image.plane is not None and is_axial(image.plane) for image in images),
        _says("not axial"),
    ),
)


def _multi_frame(image: Header) -> bool:
    return image.instance.sop_class_uid == EnhancedCTImageStorage


def _slices(images: Sequence[Header]) -> int:
    """Return the number of slices: of a multi-frame image each frame is one."""
    return sum(len(image.planes) if _multi_frame(image) else 1 for image in images)


def _image_words(image: Header) -> set[str]:
    return {word for value in image.image_type[2:] for word in re.split(r"[^A-Z_]+", value)}


def _rank(verdict: _Verdict) -> tuple[int, bool, int, str]:
    """Most slices first; among equals the lower series number, then the UID."""
    number = verdict.series.number
    return -_slices(verdict.images), number is None, number or 0, verdict.series.series_instance_uid


def _nothing_fits(unfit: list[_Verdict]) -> NotAnalysable:
    """Return the refusal of a study: the reason of the series that came furthest, and a count of all reasons."""
    few = any(one.refusal is StudyRefusal.TOO_FEW_SLICES for one in unfit)
    reasons = Counter(one.why for one in unfit)
    detail = "; ".join(f"{count} series: {why}" for why, count in sorted(reasons.items())) or "no images"
    return NotAnalysable(StudyRefusal.TOO_FEW_SLICES if few else StudyRefusal.NO_SUITABLE_SERIES, detail)


def _left_out(series: Series, why: str) -> LeftOut:
    return LeftOut(series.series_instance_uid, series.modality, series.description, why)


def _segmentations(
    content: StudyContent, imports: ImportRules, named: Instance | None
) -> tuple[tuple[Instance, ...], tuple[LeftOut, ...]]:
    """Return the segmentations to import, and one entry for each series and reason of those that are not."""
    taken: list[Instance] = [named] if named else []
    left: list[LeftOut] = []
    for series in content.series:
        found = [one for one in series.headers if one.instance.sop_class_uid == SegmentationStorage]
        reasons = {one.instance: _why_not(one, imports, named) for one in found}
        taken.extend(instance for instance, why in reasons.items() if not why and named is None)
        left.extend(_left_out(series, why) for why in dict.fromkeys(reasons.values()) if why)
    return tuple(taken), tuple(left)


def _why_not(segmentation: Header, imports: ImportRules, named: Instance | None) -> str:
    """Return why a segmentation is not imported; empty if it is."""
    if named is not None:
        same = segmentation.instance.sop_instance_uid == named.sop_instance_uid
        return "" if same else "another segmentation was named"
    manufacturer = segmentation.manufacturer.casefold()
    if manufacturer == _OURS:
        return "one of our own results, which are not measured again"
    manufacturers = {name.strip().casefold() for name in imports.manufacturers} - {""}
    titles = {title.strip() for title in imports.ae_titles}
    if segmentation.calling_ae_title in titles or manufacturer in manufacturers:
        return ""
    return "segmentation of a sender and manufacturer that the site has not allowed"
