"""Regions of interest as signatures choose them, and extractions that signatures share."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, NO_FACTS, body, box, geometry, label_map, volume
from made_network import installed
from made_signature import CONTRAST, MEAN, deep_signature, feature, signature

from node.core.codes import Structure
from node.core.records import ClinicalFacts, Instance
from workers.measurement import burden
from workers.measurement.deep import folder
from workers.measurement.deep.embedding import embed
from workers.measurement.rad_features import Computed, compute, region_of
from workers.measurement.radiomics import engine, images
from workers.records import Import, LabelMap, Region, union
from workers.signature.manifest import Choice, Extraction, Roi, Signature

SEG, OTHER = (Instance(f"1.2.{number}", "1.3", "1.4", "aa", "seg.dcm") for number in (1, 2))
HU = np.random.default_rng(3).normal(100, 10, BODY_SHAPE).astype(np.int16)
VOLUME = volume(HU, BODY_SPACING_MM)
NO_NETWORKS = Path()
TUMOUR = signature().rois[0]
LIVER = Roi(
    id="liver", structure=Structure.LIVER, choice=Choice.WHOLE, without_other_masks=True, text="Without others."
)


def segmented(*, imported: bool = False) -> LabelMap:
    """Return a body; imported, another segment of its SEG and one of another SEG lie in the liver."""
    masks = body()
    labels = label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), masks)
    if not imported:
        return labels
    liver = labels.find(Structure.LIVER)
    assert liver is not None
    corner = Region(liver.start, np.ones((1, 1, 2), dtype=bool))
    away = Region((liver.start[0] + 1, *liver.start[1:]), np.ones((1, 1, 1), dtype=bool))
    segments = tuple(replace(one, source=SEG) for one in labels.segments)
    return replace(
        labels, segments=segments, imports=(Import(SEG, ("liver", "x"), corner), Import(OTHER, ("y",), away))
    )


def test_the_largest_lesion_is_that_with_most_voxels() -> None:
    """Of the tumour burden's, not the one with the largest diameter."""
    long_ = box(BODY_SHAPE, slice(20, 21), slice(20, 21), slice(15, 30))
    thick = box(BODY_SHAPE, slice(20, 24), slice(24, 29), slice(15, 20))
    labels = label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), {Structure.LESION: [long_, thick]})
    table, _ = burden.measure(VOLUME, labels)
    region = region_of(TUMOUR, labels, table)
    assert region is not None
    assert region.count == thick.sum()
    whole = region_of(TUMOUR.model_copy(update={"choice": Choice.WHOLE}), labels, table)
    assert whole is not None
    assert whole.count == thick.sum() + long_.sum()


@pytest.mark.parametrize("imported", [False, True])
def test_other_masks_are_taken_away(imported: bool) -> None:
    """Those of the same segmentation: of a SEG those that mean nothing to us too, and none of another SEG."""
    labels = segmented(imported=imported)
    masks = {one.structure: one.region.full(BODY_SHAPE) for one in labels.segments}
    others = np.any([mask for structure, mask in masks.items() if structure is not Structure.LIVER], axis=0)
    expected = masks[Structure.LIVER] & ~others
    if imported:
        expected &= ~np.asarray(labels.imports[0].others.full(BODY_SHAPE))  # type: ignore[union-attr]
    region = region_of(LIVER, labels, None)
    assert region is not None
    assert np.array_equal(region.full(BODY_SHAPE), expected)
    assert expected.sum() < masks[Structure.LIVER].sum()


def test_what_is_not_there_is_no_region() -> None:
    """No lesion, or nothing of the liver left."""
    labels = segmented()
    assert region_of(TUMOUR, replace(labels, segments=()), None) is None
    liver = labels.find(Structure.LIVER)
    full = tuple(replace(one, source=SEG) for one in labels.segments)
    assert region_of(LIVER, replace(labels, segments=full, imports=(Import(SEG, (), liver),)), None) is None


def asked(id_: str, classes: dict[str, list[str]], *, width: int = 24, roi: str = "tumour") -> Signature:
    extraction = Extraction(
        engine="made", image_types={"Original": {}}, feature_classes=classes, settings={"binCount": width}
    )
    named = [f"original_{one}_{names[0]}" for one, names in classes.items()]
    return signature(
        id=id_,
        extraction=extraction,
        features=tuple(feature(name, 0, 1, 1, roi) for name in named),
        rois=(TUMOUR.model_copy(update={"id": roi}),),
        requires=signature().requires.model_copy(  # type: ignore[union-attr]
            update={"mask_provenance": {roi: signature().requires.mask_provenance["tumour"]}}  # type: ignore[union-attr]
        ),
    )


def test_signatures_share_an_extraction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one region with the same settings, whatever they call it; other settings need another one."""
    labels, calls = segmented(), []
    real = engine.extract

    def counted(image: object, mask: object, parameters: object) -> object:
        calls.append(parameters)
        return real(image, mask, parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "extract", counted)
    table, _ = burden.measure(VOLUME, labels)
    first, second = asked("a", {"firstorder": ["Mean"]}), asked("b", {"glcm": ["Contrast"]}, roi="other-name")
    third = asked("c", {"firstorder": ["Mean"]}, width=8)
    found, took = compute((first, second, third), VOLUME, labels, table, NO_FACTS, NO_NETWORKS)
    assert len(calls) == len(took) == 2
    assert [one.features for one in took] == [2, 1]
    tumour = labels.find(Structure.LESION)
    assert tumour is not None
    assert found["a"].values[f"tumour:{MEAN}"] == pytest.approx(tumour.values(HU).mean())
    assert list(found["b"].values) == [f"other-name:{CONTRAST}"]
    assert found["c"].values == {f"tumour:{MEAN}": found["a"].values[f"tumour:{MEAN}"]}


def test_a_region_without_features_says_why() -> None:
    """Too small for what the parameters ask, or not there."""
    speck = box(BODY_SHAPE, slice(20, 21), slice(20, 21), slice(20, 21))
    labels = label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), {Structure.LESION: speck})
    one = asked("a", {"firstorder": ["Mean"]})
    found, _ = compute((one,), VOLUME, labels, None, NO_FACTS, NO_NETWORKS)
    assert found["a"].failed[0].startswith("tumour: region-too-small: ")
    nothing = label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), {})
    found, took = compute((one,), VOLUME, nothing, None, NO_FACTS, NO_NETWORKS)
    assert (found["a"].failed, took) == (("tumour: nothing of it is there",), ())


def test_facts_come_from_the_form() -> None:
    """By their names, yes and no as 1 and 0; what is not known has no value, and nothing is extracted."""
    names = ("cea_ng_ml", "node_positive_primary", "extrahepatic_disease", "shoe_size")
    one = signature(
        rois=(),
        extraction=None,
        features=tuple(feature(name, 0, 1, 1, None) for name in names),
        requires=signature().requires.model_copy(update={"mask_provenance": {}}),  # type: ignore[union-attr]
    )
    facts = replace(NO_FACTS, clinical=ClinicalFacts(cea_ng_ml=12.5, node_positive_primary=False))
    found, took = compute((one,), VOLUME, segmented(), None, facts, NO_NETWORKS)
    assert found["made"] == Computed(dict(zip(names, (12.5, 0.0, None, None), strict=True)))
    assert took == ()


def test_a_union_is_that_of_its_masks() -> None:
    """Whatever their boxes; of none there is none."""
    first, second = (
        Region(start, np.random.default_rng(at).random((3, 4, 5)) > 0.5)
        for at, start in enumerate([(2, 3, 4), (4, 1, 7)])
    )
    whole = union([first, second])
    assert whole is not None
    assert np.array_equal(whole.full((12, 12, 14)), first.full((12, 12, 14)) | second.full((12, 12, 14)))
    assert union([]) is None
    assert union([first]) is first


def test_deep_features_stand_beside_the_others(tmp_path: Path) -> None:
    """By the network that the signature names, of the same region; without it there is a reason."""
    labels = segmented()
    mixed = asked("a", {"firstorder": ["Mean"]})
    deep = deep_signature(installed(tmp_path).digest)
    both = mixed.model_copy(update={"features": (*mixed.features, *deep.features[:2]), "weights": deep.weights})
    found, took = compute((both,), VOLUME, labels, None, NO_FACTS, tmp_path)
    tumour = labels.find(Structure.LESION)
    assert tumour is not None
    by_hand = embed(folder.read(tmp_path, "made"), images.of_volume(VOLUME), images.of_region(tumour, VOLUME.geometry))
    assert found["a"] == Computed(
        {
            f"tumour:{MEAN}": pytest.approx(tumour.values(HU).mean()),
            **{f"tumour:{name}": by_hand[name] for name in ("deep_000", "deep_255")},
        }
    )
    assert [(one.voxels, one.features) for one in took] == [(tumour.count, 1), (tumour.count, 2)]
    [why] = compute((both,), VOLUME, labels, None, NO_FACTS, NO_NETWORKS)[0]["a"].failed
    assert why.startswith("network-missing: ")
