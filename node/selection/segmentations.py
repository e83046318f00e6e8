"""Which segmentations of a study are imported: by the site's rules, or the one that a person names.

Inside stage 4. Comes in: `StudyContent` and `ImportRules`. Goes out: the segmentations that are taken, and a reason
for each series of others. What can go wrong: nothing. Next: `node.selection.ranking`, which puts the series that one
of them lies on first, and the workers, which lay it on the volume.
"""

from pydicom.uid import SegmentationStorage

from node.content import Header, StudyContent
from node.core.records import Instance, LeftOut
from node.core.settings import ImportRules

# The Manufacturer of our results, in small letters. Intake knows them by UID; this also holds where the ledger is new,
# or another installation made them.
_OURS = "crlm-node"


def segmentations(
    content: StudyContent, imports: ImportRules, named: Instance | None
) -> tuple[tuple[Header, ...], tuple[LeftOut, ...]]:
    """Return the segmentations to import, and one entry for each series and reason of those that are not."""
    taken: list[Header] = []
    left: list[LeftOut] = []
    for series in content.series:
        found = [one for one in series.headers if one.instance.sop_class_uid == SegmentationStorage]
        reasons = [(one, _why_not(one, imports, named)) for one in found]
        taken.extend(one for one, why in reasons if not why)
        left.extend(
            LeftOut(series.series_instance_uid, series.modality, series.description, why)
            for why in dict.fromkeys(why for _, why in reasons)
            if why
        )
    return tuple(taken), tuple(left)


def _why_not(segmentation: Header, imports: ImportRules, named: Instance | None) -> str:
    """Return why a segmentation is not imported; empty if it is."""
    if named is not None:
        same = segmentation.instance.sop_instance_uid == named.sop_instance_uid
        return "" if same else "another segmentation was named"
    manufacturer = segmentation.manufacturer.casefold()
    if manufacturer == _OURS:
        return "one of our own results, which are not measured again"
    manufacturers = {name.strip().casefold() for name in imports.manufacturers} - {""}
    titles = {title.strip() for title in imports.ae_titles}
    if segmentation.calling_ae_title in titles or manufacturer in manufacturers:
        return ""
    return "segmentation of a sender and manufacturer that the site has not allowed"
