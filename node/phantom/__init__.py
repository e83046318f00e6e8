"""The synthetic abdomen: a body made of formulas, whose every number is known exactly.

Beside the ten stages; demo, doctor, tests and the training of the demonstration model use it. In: a seed, or none
for the standard abdomen. Out: its picture on any axial grid, its labels, its exact numbers, and DICOM files of it.
What can go wrong is stated by each function; nothing here reads a patient's data.

Frame: LPS (x to the patient's left, y to the back, z to the head), millimetres. Arrays: (slices, rows, columns),
slices from the feet to the head.
"""

from node.phantom.anatomy import Anatomy, conflicts
from node.phantom.dicom import write_ct
from node.phantom.files import PhantomFiles, write_phantom
from node.phantom.grid import Grid, covering_grid, standard_grid
from node.phantom.marker import is_phantom
from node.phantom.render import Rendering, lesion_masks, render
from node.phantom.segments import truth_masks, write_seg
from node.phantom.structures import Structure
from node.phantom.truth import truth
from node.phantom.variation import random_anatomy, standard_anatomy

__all__ = [
    "Anatomy",
    "Grid",
    "PhantomFiles",
    "Rendering",
    "Structure",
    "conflicts",
    "covering_grid",
    "is_phantom",
    "lesion_masks",
    "random_anatomy",
    "render",
    "standard_anatomy",
    "standard_grid",
    "truth",
    "truth_masks",
    "write_ct",
    "write_phantom",
    "write_seg",
]
