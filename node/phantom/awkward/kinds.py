"""The closed lists of awkward studies, and of what may become of one.

Beside the ten stages. In: nothing. Out: `Kind`, each with a sentence that says what is awkward and with the ends that
are sound for it, and `End`. Nothing can go wrong here. Next: `node.phantom.awkward.catalogue`, which knows how each
kind is made.
"""

from enum import StrEnum
from typing import Self

from pydicom.uid import UID

from node.phantom.awkward.syntaxes import SYNTAXES


class End(StrEnum):
    """What the node made of a study."""

    ACCEPTED = "accepted"
    RESAMPLED = "resampled"
    SPLIT = "split"
    REFUSED = "refused"


_TAKEN, _TURNED_AWAY = frozenset({End.ACCEPTED}), frozenset({End.REFUSED})
_RESAMPLED, _SPLIT = frozenset({End.RESAMPLED}), frozenset({End.SPLIT})


class Kind(StrEnum):
    """A kind of awkward study.

    Attributes
    ----------
    what : str
        What is awkward, for the reader of the table.
    sound : frozenset of End
        What may become of it where the settings say nothing of it.
    """

    what: str
    sound: frozenset[End]

    def __new__(cls, name: str, what: str, sound: frozenset[End]) -> Self:
        """Make the member from its name, its sentence and its ends."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.what, member.sound = what, sound
        return member

    STRAIGHT = "straight", "Nothing: the measure of all others.", _TAKEN
    TILT = "tilt", "The gantry leans back by 20 degrees while the table moves along the body.", _RESAMPLED
    TILT_FORWARD = "tilt-forward", "The gantry leans forward by 20 degrees.", _RESAMPLED
    OBLIQUE = "oblique", "The patient lies turned about all three axes, by up to 12 degrees.", _TAKEN
    FEET_FIRST = "feet-first", "Feet first: the first slice is the highest, rows run from left to right.", _TAKEN
    FLIPPED = "flipped", "Rows from the back to the front, slices from head to feet.", _TAKEN
    TRANSPOSED = "transposed", "Rows run from front to back and columns from right to left.", _TAKEN
    UNEQUAL_PIXELS = "unequal-pixels", "Pixels of 2.0 mm by 2.8 mm.", _TAKEN
    GAP = "gap", "One slice in the middle is missing.", _TURNED_AWAY
    DUPLICATE_POSITIONS = "duplicate-positions", "Three slices were sent again as new instances.", _TURNED_AWAY
    MIXED_PHASES = "mixed-phases", "A native and a portal venous acquisition in one series.", _SPLIT
    COMPANIONS = "companions", "Localizers, a dose report and a screen capture in the study.", _TAKEN
    ENHANCED_CT = "enhanced-ct", "All slices in one Enhanced CT image of several frames.", _TAKEN
    ONE_SLICE = "one-slice", "A single slice.", _TURNED_AWAY
    MANY_SLICES = "many-slices", "2,500 slices of 0.2 mm, in a small field of view.", _TAKEN
    TWO_PATIENTS = "two-patients", "The upper half of the slices carries another patient.", _TURNED_AWAY
    NO_HEIGHT = "no-height", "Patient's Size is empty.", _TAKEN
    HEIGHT_IN_CM = "height-in-cm", "Patient's Size is in centimetres.", _TAKEN
    LATE_SLICES = "late-slices", "The upper part comes when the lower one was taken as complete.", _TAKEN
    RESENT_SLICES = "resent-slices", "All slices come a second time.", _TAKEN
    NAME_JAPANESE = "name-japanese", "The name is in Japanese, ISO 2022 IR 87.", _TAKEN
    NAME_KOREAN = "name-korean", "The name is in Korean, ISO 2022 IR 149.", _TAKEN
    NAME_CHINESE = "name-chinese", "The name is in Chinese, GB18030.", _TAKEN
    NAME_CYRILLIC = "name-cyrillic", "The name is in Cyrillic, ISO_IR 144.", _TAKEN
    NAME_GREEK = "name-greek", "The name is in Greek, ISO_IR 126.", _TAKEN
    IMPLICIT_VR = "implicit-vr", "Implicit VR Little Endian.", _TAKEN
    DEFLATED = "deflated", "Deflated Explicit VR Little Endian.", _TAKEN
    BIG_ENDIAN = "big-endian", "Explicit VR Big Endian.", _TAKEN
    RLE = "rle", "RLE Lossless.", _TAKEN
    JPEG_LOSSLESS = "jpeg-lossless", "JPEG Lossless, process 14.", _TAKEN
    JPEG_LOSSLESS_SV1 = "jpeg-lossless-sv1", "JPEG Lossless, process 14, selection value 1.", _TAKEN
    JPEG_LS = "jpeg-ls", "JPEG-LS Lossless.", _TAKEN
    JPEG_2000_LOSSLESS = "jpeg-2000-lossless", "JPEG 2000 Lossless.", _TAKEN
    JPEG_LS_LOSSY = "jpeg-ls-lossy", "JPEG-LS, near-lossless.", _TAKEN
    JPEG_2000_LOSSY = "jpeg-2000-lossy", "JPEG 2000, lossy.", _TAKEN
    JPEG_BASELINE = "jpeg-baseline", "JPEG Baseline of 8 bits, lossy.", _TAKEN
    JPEG_EXTENDED = "jpeg-extended", "JPEG Extended of 12 bits, lossy.", _TURNED_AWAY

    @property
    def syntax(self) -> UID | None:
        """Transfer syntax that makes it awkward; None for every other kind."""
        return SYNTAXES.get(self.value)
