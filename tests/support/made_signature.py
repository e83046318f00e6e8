"""A signature made for tests, which no patient was ever part of, and a study that meets all that it requires."""

from typing import Any

from node.core.codes import Structure
from node.core.records import Indication
from workers.signature.manifest import Choice, Extraction, Feature, Roi, Signature
from workers.signature.parts import Distribution, Endpoint, Figure, Groups, Training
from workers.signature.scope import ContrastPhase, Known, KnownMask, MaskOrigin, Provenance, Requires

MEAN, CONTRAST = "original_firstorder_Mean", "original_glcm_Contrast"
VALUES = {f"tumour:{MEAN}": 70.0, f"tumour:{CONTRAST}": 12.0, "age": 70.0}
SCORE = 0.5 * (70 - 60) / 20 - 0.25 * (12 - 8) / 2 + 0.1 * (70 - 60) / 10


def feature(name: str, mean: float, sd: float, coefficient: float, roi: str | None = "tumour") -> Feature:
    spread = Distribution.of([mean - 2 * sd, mean, mean + 2 * sd])
    return Feature(name=name, roi=roi, mean=mean, sd=sd, coefficient=coefficient, training=spread)


def requires(**changes: Any) -> Requires:
    """Return all six items, each with a need; `changes` replace some."""
    needs: dict[str, Any] = {
        "contrast_phase": (ContrastPhase.PORTAL_VENOUS,),
        "slice_thickness_mm": (1.0, 5.0),
        "lossless": True,
        "untreated_tumour": True,
        "mask_provenance": {"tumour": Provenance(origins=(MaskOrigin.MANUAL,), labels=("liver", "tumor"))},
        "indication": (Indication.RESECTION,),
    }
    return Requires(**{**needs, **changes})


def signature(**changes: Any) -> Signature:
    """Return a signature of two features and a fact; `changes` replace some of its fields."""
    whole: dict[str, Any] = {
        "id": "made",
        "version": "1.2",
        "title": "Made for tests",
        "citation": ("nobody",),
        "licence": "Apache-2.0",
        "population": "no patients",
        "endpoint": Endpoint(name="overall survival", text="Made up."),
        "intended_use": "Tests.",
        "requires": requires(),
        "rois": (Roi(id="tumour", structure=Structure.LESION, choice=Choice.LARGEST, text="The largest tumour."),),
        "extraction": Extraction(
            engine="made",
            image_types={"Original": {}},
            feature_classes={"firstorder": [], "glcm": []},
            settings={"binCount": 24, "resampledPixelSpacing": [1, 1, 1]},
        ),
        "features": (
            feature(MEAN, 60, 20, 0.5),
            feature(CONTRAST, 8, 2, -0.25),
            feature("age", 60, 10, 0.1, roi=None),
        ),
        "groups": Groups(names=("low", "high"), cut_offs=(-0.2,), method="made up"),
        "training": Training(text="Made up.", patients=5, events=3, score=Distribution.of([-2, -1, 0, 1, 2])),
        "validation": (Figure(name="C-index", value=0.5, low=0.4, high=0.6, patients=5, method="made up"),),
    }
    return Signature(**{**whole, **changes})


def incomplete() -> Signature:
    """Return a signature that names what is missing, and has no numbers."""
    return signature(missing=("its coefficients",), features=(), groups=None, training=None)


def known(**changes: Any) -> Known:
    """Return a study that meets everything; `changes` replace some of what is known."""
    facts: dict[str, Any] = {
        "contrast_phase": ContrastPhase.PORTAL_VENOUS,
        "slice_thickness_mm": 5.0,
        "lossless": True,
        "untreated_tumour": True,
        "masks": {"tumour": KnownMask(MaskOrigin.MANUAL, frozenset({"liver", "tumor"}))},
        "indication": Indication.RESECTION,
    }
    return Known(**{**facts, **changes})


def deep_signature(network: str, **changes: Any) -> Signature:
    """Return a signature of two deep features and a fact; `network` is the digest of the one that is `made`."""
    terms = (
        feature("deep_000", 1, 2, 0.5),
        feature("deep_255", -1, 2, -0.25),
        feature("age", 60, 10, 0.1, roi=None),
    )
    return signature(**{"features": terms, "extraction": None, "weights": {"made": network}, **changes})
