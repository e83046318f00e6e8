"""The closed lists of codes that results, events and pages carry, each with its sentence for a person.

The code is what SR and JSON hold; the sentence is what a reader sees. A code that is not here cannot be said.
"""

from enum import StrEnum
from typing import Self


class Coded(StrEnum):
    """A code of a closed list that knows its sentence."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Self:
        """Make the member from its code and the sentence that a person reads."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member


class StudyRefusal(Coded):
    """Why a study gets no numbers at all."""

    NO_SUITABLE_SERIES = "no-suitable-series", "The study holds no axial CT series that can be measured."
    SEGMENTATION_UNAVAILABLE = "segmentation-unavailable", "No segmentation of this study is available."
    WEIGHTS_MISSING = "weights-missing", "The weights of the segmentation network are not installed."
    DEMO_MODEL_REFUSED = "demo-model-refused", "The demonstration model measures synthetic studies only."
    TOO_FEW_SLICES = "too-few-slices", "The series has too few slices to be a volume."
    DUPLICATE_POSITIONS = "duplicate-positions", "Several slices of the series lie at the same position."
    UNEVEN_SPACING = "uneven-spacing", "The slices of the series are not evenly spaced: one may be missing."
    MIXED_ORIENTATION = (
        "mixed-orientation",
        "The slices of the series differ in orientation, size or pixel spacing.",
    )
    MIXED_FRAME_OF_REFERENCE = "mixed-frame-of-reference", "The slices do not share one frame of reference."
    GANTRY_TILT = "gantry-tilt", "The series was acquired with a tilted gantry."
    TRANSFER_SYNTAX_UNSUPPORTED = (
        "transfer-syntax-unsupported",
        "The pixel encoding of the series is not supported.",
    )
    PIXELS_UNREADABLE = "pixels-unreadable", "The pixels of a slice cannot be read."
    PATIENT_CONFLICT = "patient-conflict", "The study holds slices of more than one patient."
    INPUT_INCOMPLETE = "input-incomplete", "A slice that the job was made from is gone from the spool."
    INPUT_UNTRUSTED = (
        "input-untrusted",
        "A stored file is not the one that was received, or inputs contradict.",
    )


class NotComputed(Coded):
    """Why one number of a measured study is missing."""

    NOT_BUILT = "not-built", "This version does not compute it yet."
    NOT_REQUESTED = "not-requested", "The site has not asked for it."
    NOT_AVAILABLE = "not-available", "An optional part that it needs is not installed."
    HEIGHT_MISSING = "height-missing", "The patient's height is not known."
    HEIGHT_IMPLAUSIBLE = "height-implausible", "The height that was found is not plausible, or is contradicted."
    STRUCTURE_NOT_FOUND = "structure-not-found", "The structure was not segmented."
    STRUCTURE_TRUNCATED = "structure-truncated", "The structure is cut off by the edge of the scan."
    STRUCTURE_IMPLAUSIBLE = "structure-implausible", "The segmented structure is not plausible."
    CORE_TOO_SMALL = "core-too-small", "The trabecular core is too small to be measured."
    LEVEL_NOT_COVERED = "level-not-covered", "The vertebral level is not covered by the scan."
    LESION_NONE = "lesion-none", "Lesions were searched for and none was found."
    INPUT_LOSSY = "input-lossy", "The images were compressed with loss."
    OUT_OF_SCOPE = "out-of-scope", "The study does not meet the signature's needs."
    ROI_MISMATCH = "roi-mismatch", "The region is of another kind than the signature's."
    SIGNATURE_INCOMPLETE = "signature-incomplete", "The signature was published without its numbers."
    FEATURE_FAILED = "feature-failed", "A feature of the signature could not be computed."


class RegionRefusal(Coded):
    """Why a region gets no radiomic features at all."""

    PARAMETERS_INVALID = "parameters-invalid", "The radiomics parameters ask for what is not offered."
    LIST_INVALID = "list-invalid", "The list of regions cannot be read."
    IMAGE_UNREADABLE = "image-unreadable", "The image or the mask cannot be read."
    MASK_MISMATCH = "mask-mismatch", "Image and mask do not lie on the same grid."
    MASK_EMPTY = "mask-empty", "The mask does not hold the region that was asked for."
    REGION_OUTSIDE = "region-outside", "The region reaches beyond the image."
    REGION_TOO_SMALL = "region-too-small", "The region is smaller than the parameters ask for."
    REGION_TOO_LARGE = "region-too-large", "The region is larger than the network of the deep features takes."
    NETWORK_MISSING = "network-missing", "The network of the deep features is not installed."
    NETWORK_UNTRUSTED = "network-untrusted", "The network of the deep features is not what its digest says."
    ENGINE_MISSING = "engine-missing", "PyRadiomics is not installed here."
    ENGINE_REFUSED = "engine-refused", "PyRadiomics gives no features of this region."


class NoteCode(Coded):
    """What a reader should know beside a number."""

    TRUNCATED = "truncated", "Cut off by the edge of the scan: the value covers the visible part."
    NEARLY_COMPLETE = (
        "nearly-complete",
        "Slightly cut off at the bottom of the scan: the true value is at least this.",
    )
    BODY_FROM_LABEL = "body-from-label", "The vertebral body was taken from the label of the whole vertebra."
    LEVEL_FROM_LABEL = "level-from-label", "The level was taken from the label of the whole vertebra."
    IMPORTED = "imported", "Measured on a segmentation that came with the study."
    DEGRADED_ENGINE = "degraded-engine", "The segmentation ran in a reduced mode."
    KVP_UNKNOWN = "kvp-unknown", "The tube voltage is not known."
    KVP_NOT_120 = "kvp-not-120", "The tube voltage is not 120 kV."
    CONTRAST = "contrast", "Contrast agent raises the attenuation."
    THICK_SLICES = "thick-slices", "Slices thicker than 5 mm."
    HIGH_VARIANCE = "high-variance", "Unusual spread or maximum: sclerosis, cement or metal may be present."
    OUT_OF_TRAINING_RANGE = "out-of-training-range", "A feature lies outside the range seen in training."
    IMPLAUSIBLE = "implausible", "The segmented structure is outside what is plausible: the figures say where."
    FORCED_COMPLETION = "forced-completion", "The study was processed without proof that it was complete."


class DoorRefusal(Coded):
    """Why an instance was not taken in: answered to the sender as a DIMSE status."""

    DATASET_UNREADABLE = "dataset-unreadable", "The data set cannot be parsed."
    DATASET_TRUNCATED = "dataset-truncated", "The data set ends before its pixel data does."
    UID_INVALID = "uid-invalid", "A UID of the instance is missing or not a valid UID."
    UID_MISMATCH = "uid-mismatch", "The data set is not the instance that the request announced."
    SOP_CLASS_UNSUPPORTED = "sop-class-unsupported", "Objects of this SOP class are not taken in."
    OUT_OF_RESOURCES = "out-of-resources", "The spool cannot take the instance now: send it again later."


class Flag(Coded):
    """What a person should look at in a study that goes its way all the same."""

    VARIANT_KEPT = "variant-kept", "An instance came again with other content: both are kept, the first is measured."
    PATIENT_CHANGED = "patient-changed", "The patient of the study was changed after a result had been delivered."
    PATIENT_CORRECTED = (
        "patient-corrected",
        "The patient was corrected before a result was delivered: the later data is measured.",
    )
    WAITING = "waiting-for-slices", "It waits: nothing shows yet that all of its slices have come."


class Outage(Coded):
    """What is not there now and may come back: the work is tried again."""

    BROKER_UNREACHABLE = "broker-unreachable", "The job queue cannot be reached."
    DESTINATION_UNREACHABLE = "destination-unreachable", "The destination cannot be reached."
    DESTINATION_REFUSED = "destination-refused", "The destination did not take an object."
    SOP_CLASS_REFUSED = "sop-class-refused", "The destination does not take objects of this kind."
    DESTINATION_LOST = "destination-lost", "The destination answered success but does not list the object."
    COMMITMENT_REFUSED = "commitment-refused", "The destination does not commit itself to keep the object."
    SPOOL_FAILED = "spool-failed", "The spool cannot be read or written."
    LEDGER_FAILED = "ledger-failed", "The ledger cannot be read or written."
    STEWARD_FAILED = "steward-failed", "The node's own program failed while it looked at the study."
    ENGINE_TIMEOUT = "engine-timeout", "The segmentation took longer than its limit and was ended."
    ENGINE_MEMORY = "engine-memory", "The segmentation took more memory than its limit and was ended."
    ENGINE_LOST = "engine-lost", "The segmentation process ended while it worked."
    DEVICE_MISSING = "device-missing", "The device that networks should run on is not there."
    ALERT_FAILED = "alert-failed", "An alert could not be sent to the site."
    SIGNATURE_UNREADABLE = (
        "signature-unreadable",
        "A signature that studies are asked is not there, or is not what it was.",
    )
    WORKER_FAILED = "worker-failed", "The worker failed while it worked on the study."
    WORKER_LOST = "worker-lost", "The worker stopped answering while it worked on the study."
