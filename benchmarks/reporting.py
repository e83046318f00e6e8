"""One way to write results, one process: what `report.py` starts for each figure.

`python benchmarks/reporting.py WAY FOLDER` loads what the way starts from, writes, and prints a line of JSON: seconds,
those of processor time, and the peak of resident memory beyond what the process held before, in bytes: volume, regions
and headers, or the array of labels or masks. What was written lies in FOLDER afterwards, as WAY.dcm.

All ways start with the headers of the slices in memory and end with the encoded file in memory, after highdicom has
written a SEG of one frame: it reads tables of half a second at the first one. dcmqi is a program, which reads its masks
and the slices itself and writes a file.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from reading import forget_peak, held

from node.core.codes import STRUCTURES, Structure
from node.core.records import JobRequest, parse
from node.core.spool import Spool
from workers import measurement, report, volume
from workers.records import AlgorithmType, Region, Segment
from workers.report import archival, envelope, key_images, seg, summary, viewer
from workers.report.document import Findings
from workers.report.envelope import encoded
from workers.report.frames import Source
from workers.stored_labels import parse_labels

REQUEST, LABELS, META = "request.json", "labels.npz", "dcmqi.json"
IMAGES = ("organs.nrrd", "lesions.nrrd")
SPOOL = Spool(Path("/"))
Written = dict[str, bytes]  # file name without its ending, and content


def findings_of(folder: Path) -> Findings:
    """Read, measure: what stage 9 starts from."""
    request = parse(JobRequest, (folder / REQUEST).read_bytes())
    labels = parse_labels((folder / LABELS).read_bytes())
    read = volume.read(request.candidates[0], SPOOL, request.measurement)
    measured = measurement.measure(read, labels, request.facts, request.measurement, request.notes)
    return Findings(request, read, labels, measured, None)


def ours(folder: Path) -> Callable[[], Written]:
    """The SEG alone."""
    findings = findings_of(folder)
    sources = envelope.sources(findings, SPOOL)

    def write() -> Written:
        ds = seg.build(findings, sources, [])
        if ds is None:
            raise RuntimeError("nothing was segmented")
        return {"ours": encoded(ds)}

    return write


def whole_set(folder: Path) -> Callable[[], Written]:
    """SEG, both SR and Summary, with the headers of the slices there already."""
    findings = findings_of(folder)
    sources = envelope.sources(findings, SPOOL)

    def write() -> Written:
        segmentation = seg.build(findings, sources, [])
        drawn = viewer.build(findings, sources)
        if segmentation is None or drawn is None:
            raise RuntimeError("nothing was segmented")
        made = {
            "seg": segmentation,
            "sr": archival.build(findings, sources, [segmentation]),
            "sr-viewer": drawn,
            "summary": summary.build(findings, sources, key_images.draw(findings, sources)),
        }
        return {name: encoded(ds) for name, ds in made.items()}

    return write


def stage(folder: Path) -> Callable[[], Written]:
    """All of stage 9 as a worker runs it.

    Every slice is read and held against its digest, and made are also `result.json`, with the SHA-1 of the volume, and
    the pages of the Summary as PNG.
    """
    findings = findings_of(folder)
    return lambda: {made.kind: made.content for made in report.write(findings, SPOOL)}


def label_map(folder: Path) -> Callable[[], Written]:
    """highdicom, from an array of labels, cut to the slices that hold something."""
    written, sources, masks = _given(folder)
    array = np.zeros(masks[0].shape, dtype=np.uint8)
    for number, mask in enumerate(masks, start=1):
        array[mask] = number
    del masks
    return lambda: {"highdicom, label map": encoded(_by_highdicom(written, sources, array))}


def stack(folder: Path) -> Callable[[], Written]:
    """highdicom, from a mask for each segment, cut to the slices that hold something."""
    written, sources, masks = _given(folder)
    array = np.zeros((*masks[0].shape, len(masks)), dtype=np.uint8)
    for number, mask in enumerate(masks):
        array[..., number] = mask
    del masks
    return lambda: {"highdicom, stack": encoded(_by_highdicom(written, sources, array))}


def dcmqi(folder: Path) -> Callable[[], Written]:
    """itkimage2segimage, from two images of labels, since a lesion lies in the liver."""
    import dcmqi as package

    program = Path(package.__file__).parent / "bin" / "itkimage2segimage"
    out = folder / "dcmqi.dcm"
    command = [str(program), "--inputImageList", ",".join(str(folder / name) for name in IMAGES), "--outputDICOM"]
    command += [str(out), "--inputDICOMDirectory", str(folder / "ct"), "--inputMetadata", str(folder / META)]

    def write() -> Written:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own lines
        if done.returncode:
            raise RuntimeError(done.stdout[-500:] + done.stderr[-500:])
        return {}

    return write


WAYS = {
    "ours": ours,
    "ours, whole set": whole_set,
    "ours, stage 9": stage,
    "highdicom, label map": label_map,
    "highdicom, stack": stack,
    "dcmqi": dcmqi,
}


def _given(folder: Path) -> tuple[list[Segment], list[Source], list[NDArray[np.bool_]]]:
    """Return the segments, the slices that hold something, and the masks on them."""
    findings = findings_of(folder)
    written, sources = seg.segments(findings), envelope.sources(findings, SPOOL)
    first = min(one.region.slices[0] for one in written)
    last = max(one.region.slices[-1] for one in written)
    shape = (len(sources), int(sources[0].header.Rows), int(sources[0].header.Columns))
    masks = [one.region.full(shape)[first : last + 1] for one in written]
    return written, sources[first : last + 1], masks


def _by_highdicom(written: Sequence[Segment], sources: Sequence[Source], array: NDArray[Any]) -> Dataset:
    """Return a SEG as its users write one."""
    algorithm = hd.AlgorithmIdentificationSequence(
        name="made", family=hd.sr.CodedConcept("113103", "DCM", "Morphological Operations"), version="1"
    )
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=one.label,
            segmented_property_category=STRUCTURES[one.structure].category,
            segmented_property_type=STRUCTURES[one.structure].type,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, one in enumerate(written, start=1)
    ]
    return hd.seg.Segmentation(
        source_images=[source.header for source in sources],
        pixel_array=array,
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="made",
        manufacturer_model_name="made",
        software_versions="1",
        device_serial_number="1",
    )


def warm_up(folder: Path) -> None:
    """Have highdicom read its tables, as it has in a worker that has written a SEG before."""
    header = dcmread(next(iter((folder / "ct").iterdir())), stop_before_pixels=True)
    frame = np.ones((1, header.Rows, header.Columns), dtype=np.uint8)
    one = Segment(Structure.LIVER, "Liver", Region((0, 0, 0), frame.astype(bool)), AlgorithmType.AUTOMATIC, "made")
    encoded(_by_highdicom([one], [Source(header)], frame))


def main() -> None:
    """Write and tell."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    write = WAYS[way](folder)
    warm_up(folder)
    forget_peak()
    before, begin, cpu = held("VmRSS"), time.perf_counter(), _cpu_s()
    written = write()
    cost = {"seconds": time.perf_counter() - begin, "cpu_s": _cpu_s() - cpu, "peak_bytes": held("VmHWM") - before}
    if way == "dcmqi":
        cost["peak_bytes"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    for name, content in written.items():
        (folder / f"{name}.dcm").write_bytes(content)
    print(json.dumps({**cost, "written": {name: len(content) for name, content in written.items()}}))


def _cpu_s() -> float:
    """Return the processor time of this process and of those that it waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


if __name__ == "__main__":
    main()
