"""What a number is read beside, and what of this study is not as it was there.

Comes in: a number, the acquisition, who segmented, the patient's sex, the settings. Goes out: the published values of
`node.core.references` that go with it, each with what differs. A value of one sex goes with patients of that sex, and
with those whose sex is not known. What is not computed has none. Nothing can go wrong. Next: stage 9, report.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from node.core.records import Context, Measurement, PatientFacts
from node.core.references import REFERENCES, Reference
from node.core.settings import MeasurementSettings
from workers.measurement.psoas.muscles import MUSCLES
from workers.records import Acquisition, LabelMap

_MUSCLE_NAMES = {"iliopsoas": "the iliopsoas", "psoas_major": "the psoas major"}


@dataclass(frozen=True)
class Beside:
    """What of a study is compared with a publication."""

    acquisition: Acquisition
    labels: LabelMap
    facts: PatientFacts
    settings: MeasurementSettings

    def context(self, name: str, one: Measurement) -> tuple[Context, ...]:
        """Return what a number is read beside."""
        if one.value is None:
            return ()
        theirs = [other for other in REFERENCES.get(name, ()) if self._is_of(other.sex)]
        return tuple(
            Context(other.text, other.source, other.population, other.protocol, tuple(self._outside(other)))
            for other in theirs
        )

    def _is_of(self, sex: str) -> bool:
        return not sex or self.facts.sex not in ("M", "F") or self.facts.sex == sex

    def _outside(self, other: Reference) -> Iterator[str]:
        """Yield, in words, what of this study is not as there."""
        acquired = self.acquisition
        if other.kvp is not None and acquired.kvp != other.kvp:
            yield "the tube voltage is not known" if acquired.kvp is None else f"{acquired.kvp:g} kVp"
        if other.native and acquired.contrast:
            yield "contrast agent was given"
        thickness_mm = acquired.slice_thickness_mm
        if other.thickest_mm is not None and (thickness_mm is None or thickness_mm > other.thickest_mm):
            yield "the slice thickness is not known" if thickness_mm is None else f"{thickness_mm:g} mm slices"
        if other.muscle and other.muscle != self.settings.psoas:
            yield f"{_MUSCLE_NAMES[self.settings.psoas]} was measured, not {_MUSCLE_NAMES[other.muscle]}"
        if other.segmenter and (by := self._other_hands(other.segmenter)):
            yield f"segmented by {' and '.join(by)}"

    def _other_hands(self, segmenter: str) -> list[str]:
        """Return who else than a program drew the muscles."""
        drawn = [one for structure in MUSCLES[self.settings.psoas] for one in self.labels.all(structure)[:1]]
        names = dict.fromkeys(one.algorithm_name or "someone who is not named" for one in drawn)
        return [name for name in names if segmenter.casefold() not in name.casefold()]
