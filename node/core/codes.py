"""Every coded concept that the product reads or writes, with its source, and the table of measurements.

Sources: SCT = SNOMED CT as in DICOM PS3.16 context groups or TotalSegmentator's SNOMED table (2.18); DCM = PS3.16
Annex D; UCUM = units; `99CRLM` = this project's private scheme, declared in every SR that uses it. A concept that
no standard scheme has gets a private code, never a guessed one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from pydicom.sr.coding import Code

PRIVATE_SCHEME = "99CRLM"
PRIVATE_SCHEME_NAME = "crlm-node private codes"


class Structure(StrEnum):
    """A structure that can be segmented; the value is what results carry."""

    LIVER = "liver"
    ILIOPSOAS_LEFT = "iliopsoas_left"
    ILIOPSOAS_RIGHT = "iliopsoas_right"
    PSOAS_MAJOR_LEFT = "psoas_major_left"
    PSOAS_MAJOR_RIGHT = "psoas_major_right"
    VERTEBRA_L1 = "vertebra_L1"
    VERTEBRA_L3 = "vertebra_L3"
    VERTEBRAL_BODY = "vertebral_body"
    LESION = "liver_lesion"
    L1_CORE = "vertebra_L1_core"


ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")  # CID 7150
MORPHOLOGIC_ABNORMALITY = Code("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150
LEFT = Code("7771000", "SCT", "Left")  # CID 244
RIGHT = Code("24028007", "SCT", "Right")  # CID 244
LIVER = Code("10200004", "SCT", "Liver")  # CID 4031
ILIOPSOAS = Code("68455001", "SCT", "Iliopsoas muscle")  # TotalSegmentator's SNOMED table
L1_VERTEBRA = Code("66794005", "SCT", "L1 vertebra")  # TotalSegmentator's SNOMED table
L3_VERTEBRA = Code("36470004", "SCT", "L3 vertebra")  # TotalSegmentator's SNOMED table
MASS = Code("4147007", "SCT", "Mass")  # CID 7159 Lesion Segmentation Types
NEOPLASM = Code("108369006", "SCT", "Neoplasm")  # TotalSegmentator's SNOMED table (liver_tumor)
PSOAS_MAJOR = Code("psoas-major", PRIVATE_SCHEME, "Psoas major muscle")
VERTEBRAL_BODY = Code("vertebral-body", PRIVATE_SCHEME, "Vertebral body")
L1_CORE = Code("l1-core", PRIVATE_SCHEME, "L1 trabecular core")


@dataclass(frozen=True)
class StructureCoding:
    """How a structure is coded in SEG and SR: category, type, laterality, label and colour (sRGB, recommended)."""

    category: Code
    type: Code
    laterality: Code | None
    label: str
    rgb: tuple[int, int, int]


STRUCTURES: Mapping[Structure, StructureCoding] = {
    Structure.LIVER: StructureCoding(ANATOMICAL_STRUCTURE, LIVER, None, "Liver", (221, 130, 101)),
    Structure.ILIOPSOAS_LEFT: StructureCoding(ANATOMICAL_STRUCTURE, ILIOPSOAS, LEFT, "Iliopsoas left", (64, 160, 225)),
    Structure.ILIOPSOAS_RIGHT: StructureCoding(
        ANATOMICAL_STRUCTURE, ILIOPSOAS, RIGHT, "Iliopsoas right", (105, 190, 95)
    ),
    Structure.PSOAS_MAJOR_LEFT: StructureCoding(
        ANATOMICAL_STRUCTURE, PSOAS_MAJOR, LEFT, "Psoas major left", (64, 160, 225)
    ),
    Structure.PSOAS_MAJOR_RIGHT: StructureCoding(
        ANATOMICAL_STRUCTURE, PSOAS_MAJOR, RIGHT, "Psoas major right", (105, 190, 95)
    ),
    Structure.VERTEBRA_L1: StructureCoding(ANATOMICAL_STRUCTURE, L1_VERTEBRA, None, "L1 vertebra", (245, 220, 185)),
    Structure.VERTEBRA_L3: StructureCoding(ANATOMICAL_STRUCTURE, L3_VERTEBRA, None, "L3 vertebra", (235, 205, 150)),
    Structure.VERTEBRAL_BODY: StructureCoding(
        ANATOMICAL_STRUCTURE, VERTEBRAL_BODY, None, "Vertebral body", (225, 200, 160)
    ),
    Structure.L1_CORE: StructureCoding(ANATOMICAL_STRUCTURE, L1_CORE, None, "L1 trabecular core", (250, 210, 60)),
    Structure.LESION: StructureCoding(MORPHOLOGIC_ABNORMALITY, MASS, None, "Liver lesion", (230, 60, 160)),
}

# Names that segments of research collections carry, lower case, `_` for every separator. A site adds its own.
SEGMENT_LABELS: Mapping[str, Structure] = {
    "liver": Structure.LIVER,
    "iliopsoas_left": Structure.ILIOPSOAS_LEFT,
    "iliopsoas_right": Structure.ILIOPSOAS_RIGHT,
    "psoas_major_left": Structure.PSOAS_MAJOR_LEFT,
    "psoas_major_right": Structure.PSOAS_MAJOR_RIGHT,
    "vertebrae_l1": Structure.VERTEBRA_L1,
    "vertebra_l1": Structure.VERTEBRA_L1,
    "vertebrae_l3": Structure.VERTEBRA_L3,
    "vertebra_l3": Structure.VERTEBRA_L3,
    "vertebrae_body": Structure.VERTEBRAL_BODY,
    "vertebral_body": Structure.VERTEBRAL_BODY,
    "tumor": Structure.LESION,
    "lesion": Structure.LESION,
    "liver_lesions": Structure.LESION,
}

VOLUME = Code("118565006", "SCT", "Volume")  # CID 7468
AREA = Code("42798000", "SCT", "Area")  # CID 7469
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")  # CID 7464
MEDIAN = Code("373099004", "SCT", "Median")  # CID 7464
STANDARD_DEVIATION = Code("386136009", "SCT", "Standard Deviation")  # CID 7464
MAXIMUM_DIAMETER = Code("max-axial-diameter", PRIVATE_SCHEME, "Largest axial diameter")
DIAMETER_3D = Code("max-3d-diameter", PRIVATE_SCHEME, "Largest 3D diameter")
LESION_COUNT = Code("lesion-count", PRIVATE_SCHEME, "Liver lesions")
PMVI = Code("pmvi", PRIVATE_SCHEME, "PMVI")
PMI = Code("pmi", PRIVATE_SCHEME, "PMI")
TBS = Code("tbs", PRIVATE_SCHEME, "Tumour burden score")
RAD_SCORE = Code("rad-score", PRIVATE_SCHEME, "Rad score")
RAD_GROUP = Code("rad-group", PRIVATE_SCHEME, "Rad score group")
COMPUTED_TOMOGRAPHY = Code("CT", "DCM", "Computed Tomography")  # CID 29
SLICE_THICKNESS = Code("112225", "DCM", "Slice Thickness")  # TID 1604
SLICE_SPACING = Code("112226", "DCM", "Spacing between slices")  # TID 1604
PIXEL_SPACING_ALONG_ROWS = Code("111026", "DCM", "Horizontal Pixel Spacing")  # TID 1604
PIXEL_SPACING_ALONG_COLUMNS = Code("111066", "DCM", "Vertical Pixel Spacing")  # TID 1604
TUBE_VOLTAGE = Code("113733", "DCM", "KVP")  # TID 10013
CONTRAST_AGENT = Code("123011", "DCM", "Contrast/Bolus Agent")  # PS3.16 Annex D
YES = Code("373066001", "SCT", "Yes")  # CID 230
NO = Code("373067005", "SCT", "No")  # CID 230
UNKNOWN = Code("261665006", "SCT", "Unknown")  # CID 6096

UCUM_MEANING: Mapping[str, str] = {
    "mL": "milliliter",
    "cm2": "square centimeter",
    "mm": "millimeter",
    "kV": "kilovolt",
    "deg": "degree",
    "[hnsf'U]": "Hounsfield unit",
    "cm3/m3": "cubic centimeter per cubic meter",
    "cm2/m2": "square centimeter per square meter",
    "1": "no units",
    "{points}": "points",
    "%": "percent",
}
# What a person reads in place of the UCUM code.
UNIT_DISPLAY: Mapping[str, str] = {
    "[hnsf'U]": "HU",
    "cm2": "cm²",
    "cm3/m3": "cm³/m³",
    "cm2/m2": "cm²/m²",
    "1": "",
}


def ucum(unit: str) -> Code:
    """Return the UCUM unit as a coded concept."""
    return Code(unit, "UCUM", UCUM_MEANING[unit])


@dataclass(frozen=True)
class MeasurementCoding:
    """One row of the table of measurements.

    Parameters
    ----------
    name
        What a person reads.
    unit
        UCUM code; empty for a value that is a word (a risk group).
    concept
        The quantity.
    derivation
        The statistic over the region (mean, median, SD), if the quantity is one.
    structure
        What it is measured on; None for an index derived from other numbers.
    grows
        Whether it can only grow when more of the structure is seen: then a cut structure gives a lower bound.
    """

    name: str
    unit: str
    concept: Code
    derivation: Code | None = None
    structure: Structure | None = None
    grows: bool = False


def of_muscle(text: str, psoas: str) -> str:
    """Return a text that names the default muscle, the iliopsoas, as it reads for the muscle that the site asks for."""
    if psoas == "iliopsoas":
        return text
    return text.replace("Iliopsoas", "Psoas major").replace("iliopsoas", "psoas major")


_HU = "[hnsf'U]"
_LEFT, _RIGHT = Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT
MEASUREMENTS: Mapping[str, MeasurementCoding] = {
    "liver.volume": MeasurementCoding("Liver volume", "mL", VOLUME, structure=Structure.LIVER, grows=True),
    "liver.mean_hu": MeasurementCoding("Liver attenuation, mean", _HU, ATTENUATION, MEAN, Structure.LIVER),
    "psoas.left.volume": MeasurementCoding("Iliopsoas left volume", "mL", VOLUME, structure=_LEFT, grows=True),
    "psoas.right.volume": MeasurementCoding("Iliopsoas right volume", "mL", VOLUME, structure=_RIGHT, grows=True),
    "psoas.left.mean_hu": MeasurementCoding("Iliopsoas left attenuation, mean", _HU, ATTENUATION, MEAN, _LEFT),
    "psoas.right.mean_hu": MeasurementCoding("Iliopsoas right attenuation, mean", _HU, ATTENUATION, MEAN, _RIGHT),
    "psoas.left.area_l3": MeasurementCoding("Iliopsoas left area at L3", "cm2", AREA, structure=_LEFT),
    "psoas.right.area_l3": MeasurementCoding("Iliopsoas right area at L3", "cm2", AREA, structure=_RIGHT),
    "psoas.pmvi": MeasurementCoding("PMVI (iliopsoas)", "cm3/m3", PMVI, grows=True),
    "psoas.pmi": MeasurementCoding("PMI (iliopsoas)", "cm2/m2", PMI),
    "l1.mean_hu": MeasurementCoding("L1 density, mean", _HU, ATTENUATION, MEAN, Structure.L1_CORE),
    "l1.median_hu": MeasurementCoding("L1 density, median", _HU, ATTENUATION, MEDIAN, Structure.L1_CORE),
    "l1.sd_hu": MeasurementCoding("L1 density, SD", _HU, ATTENUATION, STANDARD_DEVIATION, Structure.L1_CORE),
    "l1.volume": MeasurementCoding("L1 core volume", "mL", VOLUME, structure=Structure.L1_CORE),
    "burden.count": MeasurementCoding("Liver lesions", "1", LESION_COUNT),
    "burden.max_diameter": MeasurementCoding("Largest axial diameter", "mm", MAXIMUM_DIAMETER),
    "burden.tbs": MeasurementCoding("Tumour burden score", "1", TBS),
}

# The numbers of a signature, whichever a site has: `rad_score.ID.score` and `rad_score.ID.group`.
RAD_PREFIX = "rad_score."
RAD_PARTS: Mapping[str, MeasurementCoding] = {
    "score": MeasurementCoding("Rad score", "1", RAD_SCORE),
    "group": MeasurementCoding("Rad score group", "", RAD_GROUP),
}


def rad_names(signature: str) -> tuple[str, ...]:
    """Return the ids of the numbers of a signature."""
    return tuple(f"{RAD_PREFIX}{signature}.{part}" for part in RAD_PARTS)


def coding_of(name: str) -> MeasurementCoding:
    """Return the row of any number by its id, those of a signature among them."""
    if not name.startswith(RAD_PREFIX):
        return MEASUREMENTS[name]
    signature, _, part = name.removeprefix(RAD_PREFIX).rpartition(".")
    of_all = RAD_PARTS[part]
    return replace(of_all, name=f"{of_all.name}, {signature}")
