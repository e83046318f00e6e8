"""Rules for every object of a result: character set, UIDs, equipment, what it is fit for, patient and codes."""

from collections.abc import Iterator

from node.review.objects import PRODUCT
from node.review.phrases import is_private
from node.review.reading import as_code, codes, items, text, values
from node.review.rules.silence import alone, never, no_ct, not_ours, one_of
from node.review.subject import Subject
from node.review.verdict import Finding, Rule

_UNICODE = "ISO_IR 192"
_OWN_ROOT = "2.25."  # PS3.5 B.2
_PROCESSING_EQUIPMENT = "109102"  # DCM
_REVISION = "rev "
_KEPT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientIdentityRemoved", "DeidentificationMethod"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
)
_LONGEST_VALUE, _LONGEST_MEANING = 16, 64  # SH and LO, PS3.5 section 6.2


def _character_set(subject: Subject) -> Iterator[Finding]:
    if (said := text(subject.ds, "SpecificCharacterSet")) != _UNICODE:
        yield Finding("SpecificCharacterSet", f"is {said or 'missing'}")


def _own_uids(subject: Subject) -> Iterator[Finding]:
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        if not text(subject.ds, keyword).startswith(_OWN_ROOT):
            yield Finding(keyword, f"does not begin with {_OWN_ROOT}")


def _one_per_series(subject: Subject) -> Iterator[Finding]:
    uid = text(subject.ds, "SeriesInstanceUID")
    for path in subject.beside.series.get(uid, ()):
        if path != subject.path:
            yield Finding("SeriesInstanceUID", f"is also that of {path.name}")


def _equipment(subject: Subject) -> Iterator[Finding]:
    for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions"):
        if not text(subject.ds, keyword):
            yield Finding(keyword, "is missing")


def _contributing(subject: Subject) -> Iterator[Finding]:
    place = "ContributingEquipmentSequence"
    own = [one for one in items(subject.ds, place) if text(one, "ManufacturerModelName") == PRODUCT]
    if not own:
        yield Finding(place, f"does not name {PRODUCT}")
    for one in own:
        if _PROCESSING_EQUIPMENT not in [purpose.value for purpose in codes(one, "PurposeOfReferenceCodeSequence")]:
            yield Finding(place, "has no purpose Processing Equipment (109102, DCM)")
        if not values(one, "DeviceUID"):
            yield Finding(place, "has no Device UID")


def _research(subject: Subject) -> Iterator[Finding]:
    if (said := text(subject.ds, "ContentQualification")) != "RESEARCH":
        yield Finding("ContentQualification", f"is {said or 'missing'}")


def _research_said(subject: Subject) -> Iterator[Finding]:
    if "research" not in text(subject.ds, "SeriesDescription").lower():
        yield Finding("SeriesDescription", "does not say research")


def _revision(subject: Subject) -> Iterator[Finding]:
    described = _REVISION in text(subject.ds, "SeriesDescription")
    succeeds = bool(items(subject.ds, "PredecessorDocumentsSequence"))
    if succeeds and not described:
        yield Finding("SeriesDescription", "has no `rev N`, though the document names predecessors")
    if described and not succeeds:
        yield Finding("PredecessorDocumentsSequence", "is missing, though the series is described as a revision")


def _no_document(subject: Subject) -> str:
    return "" if text(subject.ds, "Modality") == "SR" else "only an SR names predecessors"


def _burned_in(subject: Subject) -> Iterator[Finding]:
    if text(subject.ds, "BurnedInAnnotation") not in ("", "NO"):
        yield Finding("BurnedInAnnotation", "says that the patient can be told from the pixels")


def _identity(subject: Subject) -> Iterator[Finding]:
    source = subject.source
    if source is None:
        return
    for keyword in _KEPT:
        if text(subject.ds, keyword) != text(source, keyword):
            yield Finding(keyword, "is not that of the CT")
    removed = "DeidentificationMethodCodeSequence"
    if codes(subject.ds, removed) != codes(source, removed):
        yield Finding(removed, "is not that of the CT")


def _private_schemes(subject: Subject) -> Iterator[Finding]:
    declared = {
        text(one, "CodingSchemeDesignator"): text(one, "CodingSchemeUID")
        for one in items(subject.ds, "CodingSchemeIdentificationSequence")
    }
    told: set[str] = set()
    for place, item in subject.every_item:
        scheme = text(item, "CodingSchemeDesignator")
        if not is_private(scheme) or scheme in told:
            continue
        if scheme not in declared:
            told.add(scheme)
            yield Finding(place, f"uses {scheme}, which the object does not declare")
        elif not declared[scheme]:
            told.add(scheme)
            yield Finding("CodingSchemeIdentificationSequence", f"{scheme} has no Coding Scheme UID")


def _codes(subject: Subject) -> Iterator[Finding]:
    for place, item in subject.every_item:
        if not place.rpartition(" ")[2].partition("[")[0].endswith("CodeSequence"):
            continue
        found = as_code(item)
        parts = {"value": found.value, "meaning": found.meaning, "scheme": found.scheme_designator}
        if text(item, "URNCodeValue"):
            parts["scheme"] = "told by the URN"
        if lacking := [what for what, value in parts.items() if not value]:
            yield Finding(place, f"the code has no {' and no '.join(lacking)}")
        if len(text(item, "CodeValue")) > _LONGEST_VALUE:
            yield Finding(place, f"Code Value has more than {_LONGEST_VALUE} characters")
        if len(found.meaning) > _LONGEST_MEANING:
            yield Finding(place, f"Code Meaning has more than {_LONGEST_MEANING} characters")


RULES = (
    Rule("character-set", f"Text is written in {_UNICODE}.", not_ours, _character_set),
    Rule("own-uids", "Series and instance have UIDs of the form 2.25.", not_ours, _own_uids),
    Rule("one-per-series", "No other object is in its series.", one_of(not_ours, alone), _one_per_series),
    Rule("equipment", "Manufacturer, model and software version are named.", not_ours, _equipment),
    Rule(
        "contributing-equipment",
        "Contributing equipment names us, with purpose and device UID.",
        not_ours,
        _contributing,
    ),
    Rule("research", "Its content is qualified as RESEARCH.", not_ours, _research),
    Rule("research-said", "The description of its series says research.", not_ours, _research_said),
    Rule("revision", "A revision says so, and names what it supersedes.", one_of(not_ours, _no_document), _revision),
    Rule("nothing-burned-in", "Nothing in the pixels tells the patient.", never, _burned_in),
    Rule("identity-kept", "Patient and study are those of the CT.", no_ct, _identity),
    Rule("private-schemes", "Every private coding scheme is declared, with its UID.", never, _private_schemes),
    Rule("codes", "Every code has value, scheme and meaning, none too long.", never, _codes),
)
