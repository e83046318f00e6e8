"""What cannot be measured, whatever else speaks for it: hard rules of series, and the site's of volumes.

Inside stage 4. Comes in: the images of a series; then each volume with its `Traits`. Goes out: a sentence for the
first rule that is broken, or nothing. What can go wrong: nothing. Next: `node.selection.ranking`.
"""

from collections.abc import Callable

import numpy as np
from pydicom.uid import EnhancedCTImageStorage

from node.content import Header, Series
from node.core.dicom import IMAGE_CLASSES, PROJECTIONS
from node.core.grid import Plane, is_axial
from node.selection.rules import Rules
from node.selection.stacks import Images
from node.selection.traits import Traits, image_words

# Rescale Type (PS3.3 C.11.1.1.2): absent means HU in a CT image; US, unspecified, is what converters write.
_HOUNSFIELD = frozenset({"", "HU", "US"})


def of_series(series: Series, images: Images) -> str:
    """Return why the images of a series (localizers left out) cannot be slices; empty if they may be."""
    return next((why(series) for breaks, why in _RULES if breaks(images)), "")


def of_volume(images: Images, traits: Traits, rules: Rules) -> str:
    """Return why images of one plane are not to be measured; empty if they may be."""
    plane = images[0].plane
    if plane is not None and not is_axial(plane):
        return f"{_direction(plane)}, not axial"
    for name, must in rules.must.items():
        if not must.off and not must.holds(traits.texts):
            return f"{must.why} (rule {name})"
    for name, must_not in rules.must_not.items():
        shorter = must_not.coverage_below_mm is None or traits.coverage_mm < must_not.coverage_below_mm
        if shorter and must_not.holds(traits.texts):
            return f"{must_not.why} (rule {name})"
    return _limits(traits, rules)


def _limits(traits: Traits, rules: Rules) -> str:
    limits = rules.limits
    if traits.coverage_mm < limits.coverage_at_least_mm:
        return f"{traits.coverage_mm:.0f} mm in z, at least {limits.coverage_at_least_mm:g} mm asked for"
    if limits.thickness_at_most_mm and (traits.depth_mm or 0.0) > limits.thickness_at_most_mm:
        return f"{traits.slice_words}, at most {limits.thickness_at_most_mm:g} mm asked for"
    if limits.phases and traits.phase not in limits.phases:
        return f"{traits.phase_words}, {' or '.join(limits.phases)} asked for"
    return ""


def _direction(plane: Plane) -> str:
    normal = np.abs(np.cross(plane.row_cosines, plane.column_cosines))
    return ("sagittal", "coronal", "oblique")[int(np.argmax(normal))]


def _multi_frame(image: Header) -> bool:
    return image.instance.sop_class_uid == EnhancedCTImageStorage


def _any(condition: Callable[[Header], bool]) -> Callable[[Images], bool]:
    return lambda images: any(condition(image) for image in images)


def _says(text: str) -> Callable[[Series], str]:
    return lambda _series: text


# In this order: the first that holds is the reason that a person reads.
_RULES: tuple[tuple[Callable[[Images], bool], Callable[[Series], str]], ...] = (
    (lambda images: not images, _says("localizer")),
    (_any(lambda image: image.modality != "CT"), lambda series: f"modality {series.modality or 'unknown'}, not CT"),
    (
        _any(lambda image: image.instance.sop_class_uid not in IMAGE_CLASSES),
        _says("not stored as CT images: a screen capture, a dose report or a derived object"),
    ),
    (
        _any(lambda image: image.samples_per_pixel != 1 or (image.frames != 1 and not _multi_frame(image))),
        _says("images of several frames or in colour, not slices"),
    ),
    (_any(lambda image: bool(image_words(image) & PROJECTIONS)), _says("a projection or rendering, not slices")),
    (_any(lambda image: image.rescale_type not in _HOUNSFIELD), _says("pixel values are not Hounsfield units")),
    (
        _any(lambda image: image.plane is None),
        _says("position, orientation, pixel spacing or size is missing in at least one image"),
    ),
)
