"""A segmentation as one file of a job's work folder: stage 7 writes it, stage 8 reads it."""

import hashlib
import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.errors import Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal
from node.core.records import Instance, dump, parse
from workers.records import AlgorithmType, Import, LabelMap, Region, Segment
from workers.validation import Validation

_SUM_BYTES = 32


def dump_labels(labels: LabelMap) -> bytes:
    """Write a segmentation as one file: bits of each mask and its facts as a NumPy archive, then the SHA-256 of it."""
    facts = {
        "geometry": vars(labels.geometry),
        "series_instance_uid": labels.series_instance_uid,
        "engine": labels.engine,
        "searched": sorted(labels.searched),
        "reduced": labels.reduced,
        "seen_upright": labels.seen_upright,
        "validation": json.loads(dump(labels.validation)) if labels.validation else None,
        "segments": [
            {
                **vars(segment),
                "region": _place(segment.region),
                "source": vars(segment.source) if segment.source else None,
            }
            for segment in labels.segments
        ],
        "imports": [
            {"source": vars(one.source), "labels": one.labels, "others": _place(one.others) if one.others else None}
            for one in labels.imports
        ],
    }
    arrays = {f"mask{index}": np.packbits(segment.region.mask) for index, segment in enumerate(labels.segments)}
    arrays |= {f"others{index}": np.packbits(one.others.mask) for index, one in enumerate(labels.imports) if one.others}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
    archive = buffer.getvalue()
    return archive + hashlib.sha256(archive).digest()


def parse_labels(content: bytes) -> LabelMap:
    """Read a segmentation that `dump_labels` wrote.

    Raises
    ------
    Untrusted
        `input-untrusted`: the file was changed or cut.
    """
    archive, sum_ = content[:-_SUM_BYTES], content[-_SUM_BYTES:]
    if hashlib.sha256(archive).digest() != sum_:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "stored segmentation")
    with np.load(io.BytesIO(archive), allow_pickle=False) as file:
        facts = json.loads(file["facts"].tobytes())
        segments = tuple(_segment(segment, file[f"mask{index}"]) for index, segment in enumerate(facts["segments"]))
        imports = tuple(
            Import(
                Instance(**one["source"]),
                tuple(one["labels"]),
                _region(one["others"], file[f"others{index}"]) if one["others"] else None,
            )
            for index, one in enumerate(facts.get("imports", ()))
        )
    return LabelMap(
        geometry=Geometry(**{name: _tuple(value) for name, value in facts["geometry"].items()}),
        series_instance_uid=facts["series_instance_uid"],
        engine=facts["engine"],
        searched=frozenset(Structure(name) for name in facts["searched"]),
        segments=segments,
        reduced=facts.get("reduced", ""),
        seen_upright=facts.get("seen_upright", False),
        validation=parse(Validation, json.dumps(facts["validation"])) if facts.get("validation") else None,
        imports=imports,
    )


def _place(region: Region) -> dict[str, Any]:
    return {"start": region.start, "shape": region.mask.shape}


def _region(place: dict[str, Any], bits: NDArray[np.uint8]) -> Region:
    shape = _tuple(place["shape"])
    return Region(_tuple(place["start"]), np.unpackbits(bits, count=int(np.prod(shape))).view(np.bool_).reshape(shape))


def _segment(facts: dict[str, Any], bits: NDArray[np.uint8]) -> Segment:
    return Segment(
        structure=Structure(facts["structure"]),
        label=facts["label"],
        region=_region(facts["region"], bits),
        algorithm_type=AlgorithmType(facts["algorithm_type"]),
        algorithm_name=facts["algorithm_name"],
        source=Instance(**facts["source"]) if facts["source"] else None,
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
