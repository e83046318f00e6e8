"""`result.json`: everything that one analysis found, for programs and for the archive.

Its form is docs/result.schema.json. Every id of `node.core.codes.MEASUREMENTS` is always present, and score and group
of every signature that was asked. In a refused study each number carries the study's refusal code.
"""

import json
import platform
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

from node.core.codes import MEASUREMENTS, coding_of, rad_names
from node.core.errors import NodeError
from node.core.records import JobRequest, Measurement, PatientFacts, Superseded, not_computed
from workers.measured import Lesion, Measured, Score
from workers.records import Acquisition, LabelMap, Volume
from workers.report.wording import Words
from workers.signature.score import Answer, Contribution, Scored
from workers.validation import Validation

SCHEMA_VERSION = "1.5"
_INTERVAL = (
    "From the least to the largest truth that the errors of this network on n known truths imply; no confidence "
    "interval. None where the study differs from the conditions, or a number is cut or was taken in another way."
)
_LIBRARIES = ("pydicom", "highdicom", "numpy", "scipy")


@dataclass(frozen=True)
class Tried:
    """A candidate that was refused before the next one was tried."""

    series_instance_uid: str
    code: str
    text: str


@dataclass(frozen=True)
class Findings:
    """What stages 6 to 8 hand to the report; a refused study has a `refusal` and whatever was found before it."""

    request: JobRequest
    volume: Volume | None
    labels: LabelMap | None
    measured: Measured | None
    refusal: NodeError | None
    tried: tuple[Tried, ...] = ()

    @property
    def words(self) -> Words:
        """What the result says, in the language that was asked for."""
        return Words.of(self.request.report.language)


def write(findings: Findings) -> bytes:
    """Return the document as UTF-8 JSON."""
    return json.dumps(document(findings), indent=1, ensure_ascii=False, allow_nan=False).encode()


def document(findings: Findings) -> dict[str, Any]:
    """Return the document as plain objects."""
    request, refusal = findings.request, findings.refusal
    return {
        "schema_version": SCHEMA_VERSION,
        "job": request.key,
        "revision": request.revision,
        "supersedes": _superseded(request.supersedes) if request.supersedes else None,
        "study": {
            "study_instance_uid": request.study_instance_uid,
            "requested_at": request.requested_at.isoformat(timespec="seconds"),
            "patient": {
                "height_m": request.facts.height_m,
                "height_source": request.facts.height_source,
                "weight_kg": request.facts.weight_kg,
                "sex": request.facts.sex,
            },
        },
        "series": _series(findings),
        "refusal": {"code": refusal.code, "text": str(refusal)} if refusal else None,
        "quality": _quality(findings),
        "versions": versions(request),
        "measurements": {name: _measurement(name, one) for name, one in measurements(findings).items()},
        "scores": [_score(one) for one in findings.measured.scores] if findings.measured else None,
        "rad_scores": [_rad_score(one) for one in findings.measured.rad_scores] if findings.measured else None,
        "burden": _burden(findings.measured) if findings.measured else None,
    }


def measurements(findings: Findings) -> dict[str, Measurement]:
    """Return every number; those of a refused study carry its refusal."""
    if findings.measured:
        return findings.measured.measurements
    if findings.refusal is None:
        raise ValueError("findings have measurements or a refusal")
    refused = not_computed(findings.refusal.code, *findings.request.notes)  # type: ignore[arg-type]
    asked = [name for one in findings.request.signatures for name in rad_names(one.id)]
    return dict.fromkeys([*MEASUREMENTS, *asked], refused)


def versions(request: JobRequest) -> dict[str, str]:
    """Return the version of everything that a number depends on."""
    return {
        "crlm-node": request.version,
        "python": platform.python_version(),
        **{library: version(library) for library in _LIBRARIES},
    }


def _superseded(old: Superseded) -> dict[str, Any]:
    return {
        "job": old.job,
        "requested_at": old.requested_at.isoformat(timespec="seconds"),
        "revision": old.revision,
        "sr": [one.sop_instance_uid for one in old.documents],
    }


def _measurement(name: str, one: Measurement) -> dict[str, Any]:
    return {
        "value": one.value,
        "unit": coding_of(name).unit,
        "interval": list(one.interval) if one.interval else None,
        "status": one.status,
        "reason": one.reason,
        "notes": [{"code": note.code, "text": note.text} for note in one.notes],
        "context": [asdict(beside) for beside in one.context],
    }


def _score(one: Score) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "low": one.low,
        "high": one.high,
        "of": one.of,
        "items": [
            {
                "item": item.id,
                "name": item.name,
                "state": item.state,
                "points": [item.low, item.high],
                "value": item.value,
                "source": item.source,
            }
            for item in one.items
        ],
        "source": one.source,
        "population": one.population,
        "notes": [note.sentence for note in one.notes],
    }


def _rad_score(one: Answer) -> dict[str, Any]:
    """Return what a signature says: a score with its contributions, or the reason why there is none."""
    found, reason = (one, None) if isinstance(one, Scored) else (None, one)
    return {
        "signature": one.signature.id,
        "version": one.signature.version,
        "digest": one.signature.digest,
        "score": found.score if found else None,
        "group": found.group if found else None,
        "place": found.place if found else None,
        "outside": found.outside if found else None,
        "contributions": [_contribution(part) for part in found.contributions] if found else [],
        "reason": reason.reason if reason else None,
        "why": list(reason.why) if reason else [],
    }


def _contribution(one: Contribution) -> dict[str, Any]:
    return {
        "feature": one.name,
        "roi": one.roi,
        "value": one.value,
        "standardised": one.standardised,
        "points": one.points,
        "training": [one.least, one.most],
        "outside": one.outside,
    }


def _burden(measured: Measured) -> dict[str, Any]:
    """Return the table of lesions; without a search there is none, which is not the same as an empty one."""
    if (burden := measured.burden) is None:
        return {"lesions": None, "smaller": None, "zone": None}
    return {
        "lesions": [_lesion(number, one) for number, one in enumerate(burden.lesions, start=1)],
        "smaller": burden.smaller,
        "zone": burden.zone,
    }


def _lesion(number: int, one: Lesion) -> dict[str, Any]:
    return {
        "number": number,
        "label": one.label,
        "volume_ml": one.volume_ml,
        "axial_diameter_mm": one.axial_diameter_mm,
        "slice": one.slice,
        "diameter_mm": one.diameter_mm,
        "mean_hu": one.mean_hu,
        "centre_mm": list(one.centre_mm),
        "edges": list(one.edges),
        "parts": one.parts,
        "touches": list(one.touches),
    }


def _series(findings: Findings) -> dict[str, Any]:
    chosen = findings.volume.candidate if findings.volume else None
    return {
        "series_instance_uid": chosen.series_instance_uid if chosen else None,
        "description": chosen.description if chosen else None,
        "why": chosen.why if chosen else None,
        "tried": [asdict(one) for one in findings.tried],
        "left_out": [asdict(one) for one in findings.request.left_out],
    }


def _quality(findings: Findings) -> dict[str, Any]:
    volume, labels, settings = findings.volume, findings.labels, findings.request.measurement
    geometry = volume.geometry if volume else None
    quality: dict[str, Any] = {
        "volume_sha1": volume.sha1 if volume else None,
        "slices": geometry.shape[0] if geometry else None,
        "rows": geometry.shape[1] if geometry else None,
        "columns": geometry.shape[2] if geometry else None,
        "spacing_mm": list(geometry.spacing_mm) if geometry else None,
        "gantry_tilt_degrees": round(geometry.tilt_degrees, 2) if geometry else None,
        **(asdict(volume.acquisition) if volume else dict.fromkeys(field.name for field in fields(Acquisition))),
        "segmentation": None,
        "settings": settings.model_dump(mode="json"),
    }
    if labels:
        quality["segmentation"] = {
            "engine": labels.engine,
            "searched": sorted(labels.searched),
            "seen_upright": labels.seen_upright,
            "validation": _validation(labels.validation, findings.request.facts) if labels.validation else None,
            "segments": [
                {
                    "structure": segment.structure,
                    "label": segment.label,
                    "voxels": segment.region.count,
                    "algorithm_type": segment.algorithm_type,
                    "algorithm_name": segment.algorithm_name,
                    "imported_from": segment.source.sop_instance_uid if segment.source else None,
                }
                for segment in labels.segments
            ],
            "imported": [
                {"sop_instance_uid": one.source.sop_instance_uid, "labels": list(one.labels)} for one in labels.imports
            ],
        }
    return quality


def _validation(validation: Validation, facts: PatientFacts) -> dict[str, Any]:
    """Return what intervals mean and what they were measured on; the errors themselves stay in the manifest."""
    conditions = asdict(validation.conditions)
    return {
        "interval": _INTERVAL,
        "what": validation.what,
        "n": len(validation.seeds),
        "model": validation.model,
        "version": validation.version,
        "conditions": conditions | {"spacing_mm": [list(edges) for edges in validation.conditions.spacing_mm]},
        "height_resolution_m": facts.height_resolution_m,
    }
