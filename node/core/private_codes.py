"""The private codes of this product (scheme `99CRLM`), and the page docs/private-codes.md that is made from them.

Comes in: `node.core.codes`, which has those of structures and quantities, and the closed lists of
`node.core.reasons`. Goes out: the codes that objects are written with; `table`, all of them; `page`, Markdown, which
`python -m node.core.private_codes` prints. Codes and meanings are the same whatever language a result speaks: a
meaning is part of the code, and a viewer that shows it shows English.
"""

import sys
from collections.abc import Iterator, Mapping

from pydicom.sr.coding import Code

from node.core import codes
from node.core.codes import MEASUREMENTS, PRIVATE_SCHEME, RAD_PARTS, RAD_PREFIX, coding_of, of_muscle, rad_names
from node.core.reasons import NotComputed, StudyRefusal

STUDY_REFUSED = Code("study-refused", PRIVATE_SCHEME, "Study not measured")

QUALITY = Code("quality", PRIVATE_SCHEME, "Acquisition and method")
COVERAGE = Code("coverage", PRIVATE_SCHEME, "Coverage")
GANTRY_TILT = Code("gantry-angle", PRIVATE_SCHEME, "Gantry tilt")
CONVOLUTION_KERNEL = Code("convolution-kernel", PRIVATE_SCHEME, "Convolution kernel")
COMPRESSION = Code("compression", PRIVATE_SCHEME, "Compression")
PSOAS_STRUCTURE = Code("psoas-structure", PRIVATE_SCHEME, "Muscle measured as psoas")
SEGMENTED_BY = Code("segmented-by", PRIVATE_SCHEME, "Segmented by")
ENGINE = Code("engine", PRIVATE_SCHEME, "Engine and digests of its models")
REDUCED_MODE = Code("reduced-mode", PRIVATE_SCHEME, "Reduced mode")
HEIGHT = Code("height", PRIVATE_SCHEME, "Height and its source")

TBS_ZONE = Code("tbs-zone", PRIVATE_SCHEME, "Zone of the tumour burden score")
TBS_ZONES: Mapping[str, Code] = {
    "<3": Code("tbs-zone-1", PRIVATE_SCHEME, "Zone 1: below 3"),
    "3 to <9": Code("tbs-zone-2", PRIVATE_SCHEME, "Zone 2: 3 to below 9"),
    ">=9": Code("tbs-zone-3", PRIVATE_SCHEME, "Zone 3: 9 or more"),
}
LEAST_POINTS = Code("score-least", PRIVATE_SCHEME, "Points at least")
MOST_POINTS = Code("score-most", PRIVATE_SCHEME, "Points at most")
SCORES: Mapping[str, Code] = {
    id_: Code(id_, PRIVATE_SCHEME, name)
    for id_, name in {
        "fong-crs": "Fong clinical risk score",
        "ras-mcs": "Modified clinical score with RAS",
        "game": "GAME score",
    }.items()
}
SCORE_ITEMS: Mapping[str, Code] = {
    id_: Code(id_, PRIVATE_SCHEME, name)
    for id_, name in {
        "node-positive-primary": "Node-positive primary",
        "disease-free-interval-below-12-months": "Disease-free interval < 12 months",
        "more-than-1-lesion": "More than 1 lesion",
        "larger-than-5-cm": "Largest > 5 cm",
        "cea-above-200": "CEA > 200 ng/mL",
        "ras-mutated": "RAS mutation",
        "kras-mutated": "KRAS mutation",
        "cea-20-or-more": "CEA >= 20 ng/mL",
        "tumour-burden": "Tumour burden score >= 3",
        "extrahepatic-disease": "Extrahepatic disease",
    }.items()
}

RAD_SCORE_BY = Code("rad-score-by", PRIVATE_SCHEME, "Rad score by a signature")
RAD_SIGNATURE = Code("rad-signature", PRIVATE_SCHEME, "Signature")
RAD_PLACE = Code("rad-place", PRIVATE_SCHEME, "Patients in training with a lower score")
RAD_CONTRIBUTION = Code("rad-contribution", PRIVATE_SCHEME, "Contribution to the Rad score")
RAD_FEATURE = Code("rad-feature", PRIVATE_SCHEME, "Feature")
RAD_VALUE = Code("rad-feature-value", PRIVATE_SCHEME, "Value of the feature")

# What a viewer shows of a number: it has to say all, and be short.
_SHORT_NAMES: Mapping[str, str] = {
    "liver.volume": "Liver volume",
    "liver.mean_hu": "Liver mean",
    "psoas.left.volume": "Left iliopsoas volume",
    "psoas.right.volume": "Right iliopsoas volume",
    "psoas.left.mean_hu": "Left iliopsoas mean",
    "psoas.right.mean_hu": "Right iliopsoas mean",
    "psoas.left.area_l3": "Left iliopsoas area L3",
    "psoas.right.area_l3": "Right iliopsoas area L3",
    "psoas.pmvi": "PMVI",
    "psoas.pmi": "PMI",
    "l1.mean_hu": "L1 mean",
    "l1.median_hu": "L1 median",
    "l1.sd_hu": "L1 SD",
    "l1.volume": "L1 core volume",
    "burden.count": "Liver lesions",
    "burden.max_diameter": "Largest axial diameter",
    "burden.tbs": "Tumour burden score",
}
AT_LEAST = " ≥"

_HEAD = f"""# Private codes

Made from the code by `python -m node.core.private_codes`. The scheme is `{PRIVATE_SCHEME}`, declared with its UID in
the Coding Scheme Identification Sequence of every object that uses it. A private code stands only where no standard
scheme has the concept; codes longer than 16 characters stand in Long Code Value. Codes and meanings are the same in
every language of a result.
"""
_Rows = Iterator[tuple[Code, str]]


def number_code(name: str, psoas: str) -> Code:
    """Return the code of a number by its id; its meaning names the muscle that was measured, or the signature."""
    meaning = coding_of(name).name if name.startswith(RAD_PREFIX) else _SHORT_NAMES[name]
    return Code(name, PRIVATE_SCHEME, of_muscle(meaning, psoas))


def reason_code(reason: str) -> Code:
    """Return the reason why one number is missing."""
    return Code(reason, PRIVATE_SCHEME, f"Not computed: {reason.replace('-', ' ')}")


def refusal_code(reason: str) -> Code:
    """Return the reason why a study was refused."""
    return Code(reason, PRIVATE_SCHEME, reason.replace("-", " ").capitalize())


def table() -> Iterator[Code]:
    """Yield every private code; one that is written with two meanings is there twice."""
    for _, _, rows in _sections():
        yield from (code for code, _ in rows)


def page() -> str:
    """Return the page of the documentation."""
    parts = [_HEAD]
    for title, column, rows in _sections():
        lines = [f"| `{code.value}` | {code.meaning} | {remark} |" for code, remark in rows]
        parts.append("\n".join([f"## {title}\n", f"| code | meaning | {column} |", "|---|---|---|", *lines, ""]))
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, str, _Rows]]:
    """Yield each table: title, what its last column says, rows."""
    yield "Structures and quantities", "where", iter(_concepts().items())
    yield "Numbers", "unit (UCUM)", _numbers()
    yield "Why a number is missing", "sentence", ((reason_code(one), one.sentence) for one in NotComputed)
    yield "Why a study was refused", "sentence", ((refusal_code(one), one.sentence) for one in StudyRefusal)
    yield "Acquisition and method", "where", iter(_quality().items())
    yield "Tumour burden and clinical scores", "where", _clinical()


def _concepts() -> Mapping[Code, str]:
    return {
        codes.PSOAS_MAJOR: "segment and finding",
        codes.VERTEBRAL_BODY: "segment that may be imported",
        codes.L1_CORE: "segment and finding",
        codes.MAXIMUM_DIAMETER: "number of the tumour burden, and of each lesion",
        codes.DIAMETER_3D: "number of each lesion: between voxel centres, not of a mesh as IBSI L0JK",
        codes.LESION_COUNT: "number of the tumour burden",
        codes.PMVI: "number",
        codes.PMI: "number",
        codes.TBS: "number of the tumour burden",
        codes.RAD_SCORE: "number",
        codes.RAD_GROUP: "word",
    }


def _numbers() -> _Rows:
    """Yield the code of each number as drawn on the images, or as the name of what is missing."""
    for name, coding in MEASUREMENTS.items():
        cut = f"; `{AT_LEAST.strip()}` after the meaning where it is at least so much" if coding.grows else ""
        written = [number_code(name, psoas) for psoas in ("iliopsoas", "psoas_major")]
        for code in {one.meaning: one for one in written}.values():
            yield code, f"`{coding.unit}`{cut}" if coding.unit else "a word"
    for name, coding in zip(rad_names("ID"), RAD_PARTS.values(), strict=True):
        yield number_code(name, ""), f"{f'`{coding.unit}`' if coding.unit else 'a word'}, of the signature `ID`"


def _quality() -> Mapping[Code, str]:
    return {
        QUALITY: "container of what follows, at the beginning of the report",
        COVERAGE: "text: slices and length",
        GANTRY_TILT: "number, where it is not zero",
        CONVOLUTION_KERNEL: "text, as the series names it",
        COMPRESSION: "text, where it may have lost",
        PSOAS_STRUCTURE: "code of the muscle",
        SEGMENTED_BY: "text for each author",
        ENGINE: "text: what may segment, with digests of the manifests",
        REDUCED_MODE: "text, where a network ran in one",
        HEIGHT: "text",
    }


def _clinical() -> _Rows:
    yield TBS_ZONE, "name of the evaluation"
    yield from ((code, f"value of `{TBS_ZONE.value}`") for code in TBS_ZONES.values())
    yield from ((code, "container of its points and items") for code in SCORES.values())
    yield LEAST_POINTS, "number: items that are known to give points"
    yield MOST_POINTS, "number: if each item that is not known gives all it can"
    yield from ((code, "item: yes, no or unknown (SCT)") for code in SCORE_ITEMS.values())
    yield RAD_SCORE_BY, "container of a score by a signature, with what every feature gives"
    yield RAD_SIGNATURE, "text: id, version and digest of the manifest"
    yield RAD_PLACE, "number (`%`): place among the scores of training"
    yield RAD_CONTRIBUTION, "number: coefficient x (value - mean) / SD of a feature"
    yield RAD_FEATURE, "text below a contribution: PyRadiomics' name, with the region of interest"
    yield RAD_VALUE, "number below a contribution, as PyRadiomics defines it, without a unit"
    yield STUDY_REFUSED, "name of the reason of a refusal"


if __name__ == "__main__":
    sys.stdout.write(page())
