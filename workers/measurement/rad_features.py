"""The features that signatures ask of a study: radiomic ones, each region of interest extracted once, and deep ones.

Comes in: signatures that a study meets, its volume, segmentation, lesions and patient facts. Goes out: for each
signature the values by `Feature.column`, or why there are none, and what the extraction took. What can go wrong:
nothing; a region that gives no features is told with its code, a fact that nobody has entered has no value. Next:
`rad_score`.

Signatures with the same region of interest, settings and image types share one extraction of all classes that any of
them asks. One mask of the volume is held at a time, and of an extraction only the features. The library that compiles
the engine is loaded where the first feature is asked, and not before.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

from node.core.codes import Structure
from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from node.core.records import ClinicalFacts, PatientFacts
from workers.measured import Burden, Extracted
from workers.records import LabelMap, Region, Segment, Volume, union
from workers.signature.manifest import Choice, Extraction, Roi, Signature

_NOTHING = "nothing of it is there"
Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Computed:
    """The features of one signature by `Feature.column`; where a region gave none, `failed` says why."""

    values: Values
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Study:
    """What features are computed of."""

    volume: Volume
    labels: LabelMap
    burden: Burden | None

    @cached_property
    def image(self) -> Any:
        """The volume as the engines read it."""
        return _images().of_volume(self.volume)

    def region(self, roi: Roi) -> Region | None:
        """Return a region of interest; None where nothing of it is there."""
        return region_of(roi, self.labels, self.burden)

    def mask(self, region: Region) -> Any:
        """Return a region as the engines read it."""
        return _images().of_region(region, self.volume.geometry)


@dataclass
class _Wanted:
    """One extraction: the region, how it is read, and the classes that signatures ask of it."""

    roi: Roi
    extraction: Extraction
    classes: dict[str, list[str]] = field(default_factory=dict)
    found: Mapping[str, float] = field(default_factory=dict)
    failed: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """The parameters, as PyRadiomics' file has them."""
        return {
            "setting": {**self.extraction.settings, "label": 1, "additionalInfo": False},
            "imageType": self.extraction.image_types,
            "featureClass": self.classes,
        }

    def also(self, classes: Mapping[str, Sequence[str]]) -> None:
        """Ask classes of features too; an empty list is all of a class."""
        for name, features in classes.items():
            before = self.classes.get(name)
            whole = not features or before == []
            self.classes[name] = [] if whole else list(dict.fromkeys([*(before or ()), *features]))


def compute(
    signatures: Sequence[Signature],
    volume: Volume,
    labels: LabelMap,
    burden: Burden | None,
    facts: PatientFacts,
    models: Path,
) -> tuple[dict[str, Computed], tuple[Extracted, ...]]:
    """Compute the features of signatures, by their ids, and say what each extraction took.

    `models` is the folder that networks of deep features lie below.
    """
    study = _Study(volume, labels, burden)
    wanted: dict[str, _Wanted] = {}
    for one in signatures:
        for roi in one.rois:
            if one.extraction is not None:
                key = _key(roi, one.extraction)
                wanted.setdefault(key, _Wanted(roi, one.extraction)).also(one.extraction.feature_classes)
    took = _extract(list(wanted.values()), study) if wanted else []
    found = {one.id: _computed(one, wanted, facts) for one in signatures}
    for one in signatures:
        if one.weights:
            found[one.id], also = _with_deep(found[one.id], one, study, models)
            took.append(also)
    return found, tuple(took)


def region_of(roi: Roi, labels: LabelMap, burden: Burden | None) -> Region | None:
    """Return a region of interest; None where nothing of it is there.

    The largest of several is that with most voxels: of lesions as the tumour burden counts them, of another structure
    as it was segmented. All other masks of its segmentation may be taken away: every other segment of the network, or
    of the same SEG, those that mean nothing to us among them.
    """
    segments = labels.all(roi.structure)
    regions = [one.region for one in segments]
    if roi.structure is Structure.LESION and burden is not None:
        regions = [one.region for one in burden.lesions]
    if not regions:
        return None
    region = max(regions, key=lambda one: one.count) if roi.choice is Choice.LARGEST else union(regions)
    return _without_others(region, segments, labels) if roi.without_other_masks and region else region


def _without_others(region: Region, segments: Sequence[Segment], labels: LabelMap) -> Region | None:
    source, own = segments[0].source, {id(one) for one in segments}
    others = [one.region for one in labels.segments if one.source == source and id(one) not in own]
    others += [one.others for one in labels.imports if one.source == source and one.others]
    mask = region.mask.copy()
    for other in others:
        if (common := region.common(other)) is not None:
            box = tuple(slice(p.start - b, p.stop - b) for p, b in zip(common.box, region.start, strict=True))
            mask[box] &= ~common.mask
    return Region.of(mask, region.start)


def _key(roi: Roi, extraction: Extraction) -> str:
    """Return what makes an extraction the same: region, settings and image types; a name and a text make none."""
    place = roi.structure, roi.choice, roi.without_other_masks
    return json.dumps([place, extraction.settings, extraction.image_types], sort_keys=True)


def _extract(wanted: Sequence[_Wanted], study: _Study) -> list[Extracted]:
    from workers.measurement.radiomics import parameters  # here: numba is slow to load, and most studies ask none
    from workers.measurement.radiomics.engine import extract

    took = []
    for one in wanted:
        begin = perf_counter()
        region = study.region(one.roi)
        if region is None:
            one.failed = f"{one.roi.id}: {_NOTHING}"
            continue
        try:
            asked = parameters.parse(one.document)
            one.found = extract(study.image, study.mask(region), asked).values
        except NotExtractable as error:
            one.failed = f"{one.roi.id}: {error.code}: {error}"
        took.append(Extracted(one.roi.id, region.count, len(one.found), perf_counter() - begin))
    return took


def _with_deep(computed: Computed, signature: Signature, study: _Study, models: Path) -> tuple[Computed, Extracted]:
    """Add the deep features of a signature to its others."""
    from workers.measurement.deep import embedding  # here: as above

    begin = perf_counter()
    rois = {roi.id: roi for roi in signature.rois}
    voxels = 0

    def mask_of(id_: str) -> Any:
        nonlocal voxels
        region = study.region(rois[id_])
        if region is None:
            raise NotExtractable(RegionRefusal.MASK_EMPTY, f"{id_}: {_NOTHING}")
        voxels += region.count
        return study.mask(region)

    found: dict[str, float] = {}
    failed = computed.failed
    try:
        found = embedding.of_signature(signature, models, study.image, mask_of)
    except NotExtractable as error:
        failed = (*failed, f"{error.code}: {error}")
    [network] = signature.weights
    took = Extracted(network, voxels, len(found), perf_counter() - begin)
    return Computed({**computed.values, **found}, failed), took


def _images() -> Any:
    from workers.measurement.radiomics import images  # here: as above

    return images


def _computed(signature: Signature, wanted: Mapping[str, _Wanted], facts: PatientFacts) -> Computed:
    by_roi = {roi.id: wanted[_key(roi, signature.extraction)] for roi in signature.rois if signature.extraction}
    failed = tuple(one.failed for one in by_roi.values() if one.failed)
    values = {
        one.column: by_roi[one.roi].found.get(one.name) if one.roi in by_roi else _fact(one.name, facts)
        for one in signature.features
    }
    return Computed(values, failed)


def _fact(name: str, facts: PatientFacts) -> float | None:
    """Return a fact of the site's form by its name, yes and no as 1 and 0; None where it is not known, or none."""
    value = getattr(facts.clinical or ClinicalFacts(), name, None)
    return float(value) if isinstance(value, bool | int | float) else None
