"""What a measurement is, in words: the form that each module of this package writes its own down in.

Collected by `workers.measurement.catalogue`; unit, name and code are the row of `node.core.codes.MEASUREMENTS`.
"""

from dataclasses import dataclass

from node.core.reasons import NotComputed, NoteCode

OWN = "this project's own definition."


@dataclass(frozen=True)
class Definition:
    """One measurement, or several that differ in nothing but side or statistic.

    Parameters
    ----------
    ids
        The keys in `result.json`.
    text
        What is measured, one sentence without the formula.
    formula
        How the value comes from voxels, or from other numbers by their ids.
    source
        Who defined it.
    reasons
        Why it can be missing in a study that was measured.
    notes
        What can stand beside it because of what it is.
    """

    ids: tuple[str, ...]
    text: str
    formula: str
    source: str
    reasons: tuple[NotComputed, ...]
    notes: tuple[NoteCode, ...] = ()
