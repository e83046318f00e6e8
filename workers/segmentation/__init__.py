"""Stage 7: a volume becomes a `LabelMap`.

Comes in: a `Volume` and what the job says of segmentations. Goes out: `LabelMap`. What can go wrong: no way to
segment is open (`NotAnalysable`), sources contradict (`Untrusted`). Next: stage 8, measurement.
Ways, in their order: `imported` (a DICOM SEG that the site allows). The networks come next.
"""

from node.core.errors import NotAnalysable
from node.core.reasons import StudyRefusal
from node.core.records import JobRequest
from node.core.spool import Spool
from workers.records import LabelMap, Volume
from workers.segmentation import imported


def segment(volume: Volume, request: JobRequest, spool: Spool) -> LabelMap:
    """Segment a volume by the first way that is open.

    Raises
    ------
    NotAnalysable
        `segmentation-unavailable`: no way is open.
    Untrusted
        `input-untrusted`: imported segmentations contradict each other.
    """
    labels = imported.segment(volume, request, spool)
    if labels is None:
        count = len(request.segmentations)
        detail = f"{count} imported SEG, none on the grid of this series" if count else "no SEG came with the study"
        raise NotAnalysable(StudyRefusal.SEGMENTATION_UNAVAILABLE, detail)
    return labels
