"""What the numbers of a result stand on, in lines: series, acquisition, segmentation, height, and what was unusual.

Comes in: the findings. Goes out: pairs of a key and a sentence. Free texts of headers come through `Story.free`.
"""

from collections.abc import Iterator

from workers.records import LabelMap, Volume
from workers.report.key_images.sheet import Story

Line = tuple[str, str]


def lines(story: Story) -> Iterator[Line]:
    """Yield the lines of a result."""
    words, findings = story.words, story.findings
    if findings.volume:
        yield words("summary.series"), _series(story, findings.volume)
        yield words("summary.acquisition"), _acquisition(story, findings.volume)
    if findings.labels:
        yield words("summary.segmentation"), _segmentation(story, findings.labels)
    yield words("summary.height"), _height(story)
    unusual = list(_unusual(story))
    if unusual:
        yield words("summary.unusual"), " ".join(unusual)


def _series(story: Story, volume: Volume) -> str:
    """Name the series by number and description, and its grid."""
    header, words = story.sources[0].header, story.words
    number = header.get("SeriesNumber")
    named = [] if number is None else [f"{number}"]
    named += [story.free(text) for text in (volume.candidate.description, volume.candidate.part) if text]
    slices, rows, columns = volume.geometry.shape
    return words("summary.series_of", named=", ".join(named), slices=slices, rows=rows, columns=columns)


def _acquisition(story: Story, volume: Volume) -> str:
    """Say how the series was acquired, as far as its headers do."""
    words, acquired = story.words, volume.acquisition
    between, rows_mm, columns_mm = volume.geometry.spacing_mm
    thick = acquired.slice_thickness_mm
    parts = [
        words("summary.thickness_unknown") if thick is None else words("summary.thickness", mm=f"{thick:g}"),
        words("summary.spacing", slices=f"{between:.4g}", rows=f"{rows_mm:.3g}", columns=f"{columns_mm:.3g}"),
        words("summary.kernel", name=story.free(acquired.kernel)) if acquired.kernel else words("summary.no_kernel"),
        words("summary.no_kvp") if acquired.kvp is None else words("summary.kvp", kvp=f"{acquired.kvp:g}"),
        words("summary.contrast", name=story.free(acquired.contrast))
        if acquired.contrast
        else words("summary.no_contrast"),
    ]
    return ", ".join(parts)


def _segmentation(story: Story, labels: LabelMap) -> str:
    """Say who segmented; of an imported segmentation, who drew which structures, where it was not one alone."""
    words = story.words
    if not labels.imported:
        return labels.engine
    drawn: dict[str, list[str]] = {}
    for one in labels.segments:
        name = story.free(one.algorithm_name) if one.algorithm_name else words("quality.unnamed")
        author = words("summary.drawn_by", kind=words(f"algorithm.{one.algorithm_type}"), name=name)
        drawn.setdefault(author, []).append(words(f"structure.{one.structure}"))
    if len(drawn) == 1:
        return words("summary.imported", drawn=", ".join(drawn))
    told = [
        words("summary.drawn_each", structures=", ".join(dict.fromkeys(structures)), author=author)
        for author, structures in drawn.items()
    ]
    return words("summary.imported", drawn="; ".join(told))


def _height(story: Story) -> str:
    words, facts = story.words, story.findings.request.facts
    if facts.height_m is None or facts.height_source is None:
        return words("summary.no_height", reason=words(f"reason.{facts.height_reason}") if facts.height_reason else "")
    source = words(f"height.{facts.height_source}")
    return words("summary.height_of", height=facts.height_m, source=source)


def _unusual(story: Story) -> Iterator[str]:
    """Yield what a reader should know of the images and of the way in which they were measured."""
    words, volume, labels = story.words, story.findings.volume, story.findings.labels
    if story.psoas != "iliopsoas":
        yield words("summary.muscle", muscle=words(f"muscle.{story.psoas}.within"))
    if volume and volume.acquisition.lossy:
        yield words("summary.lossy")
    if volume and volume.geometry.is_tilted:
        yield words("summary.tilted", degrees=volume.geometry.tilt_degrees)
    if volume and volume.acquisition.padding_voxels:
        yield words("summary.padding")
    if labels and labels.reduced:
        yield labels.reduced
