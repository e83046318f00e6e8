"""Awkward studies: the synthetic abdomen as hospitals send it when something is not as it should be.

Beside the ten stages. In: a folder and a `Kind` of a closed list. Out: the study on disk, with its truth as
segmentation and in numbers. What can go wrong: a folder that holds a study already (FileExistsError). Next: the node,
like any study; docs/awkward-studies.md says what becomes of each.
"""

from node.phantom.awkward.catalogue import write_awkward
from node.phantom.awkward.kinds import End, Kind
from node.phantom.awkward.study import AwkwardStudy

__all__ = ["AwkwardStudy", "End", "Kind", "write_awkward"]
