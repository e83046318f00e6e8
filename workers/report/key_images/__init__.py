"""The pages of the Summary: a cover with every number, a page for each Rad score, key images with outlines.

Comes in: `Findings` and the headers of the slices. Goes out: `Page`s, square pictures in colour, each with every text
that is on it: nothing of them says who the patient is (`identity`). What can go wrong: nothing; what was not measured
has no picture, and of a refused study there is only a cover that says why. Next: `workers.report.summary`.

Rooms: `canvas` (texts and lines on a page), `sheet` (what all pages have in common), `cover`, `table`, `origin` and
`numbers` (the cover's parts), `rad_score`, `planes`, `crop`, `contours` and `panel` (a picture of the volume),
`captions`, `pictures` and `lesions` (the key images). The font is Roboto by Google, under the
Apache License 2.0 (`fonts/LICENSE`).
"""

from collections.abc import Iterator, Sequence

from node.core.codes import Structure
from workers.report import seg
from workers.report.document import Findings
from workers.report.frames import Source
from workers.report.key_images import cover, lesions, pictures, rad_score
from workers.report.key_images.sheet import Draft, Page, Story, finished


def draw(findings: Findings, sources: Sequence[Source]) -> list[Page]:
    """Return the pages; `sources` are the volume's slices, or those of the best candidate of a refused study."""
    story = Story(findings, sources)
    return finished([*cover.draw(story), *rad_score.draw(story), *_key_images(story)], story)


def _key_images(story: Story) -> Iterator[Draft]:
    volume, measured = story.findings.volume, story.findings.measured
    if volume is None or measured is None:
        return
    if muscles := seg.muscles(story.findings):
        yield pictures.psoas(story, volume, muscles, measured.l3_slice)
    if measured.l1_core:
        yield pictures.l1(story, volume, measured.l1_core)
    found = measured.burden.lesions if measured.burden else ()
    segments = seg.segments(story.findings)
    liver = next((one.region for one in segments if one.structure is Structure.LIVER), None)
    if liver:
        yield lesions.liver(story, volume, liver, found)
    if found:
        yield lesions.largest(story, volume, liver, found)
