"""How the product knows its own phantom again, and where its UIDs come from.

Beside the ten stages. In: a dataset, or the words a UID is made from. Out: yes or no; a UID. Next: `node.phantom.dicom`
and `node.phantom.segments` write the marks; the node reads them.
"""

from __future__ import annotations

import hashlib

from pydicom.dataset import Dataset
from pydicom.uid import UID

MANUFACTURER = "crlm-node"
SEG_MANUFACTURER = "crlm-node phantom"
MODEL = "phantom"
SERIAL_NUMBER = "CRLM-NODE-PHANTOM"
PATIENT_ID_PREFIX = "PHANTOM-"


def is_phantom(ds: Dataset) -> bool:
    """Whether a dataset is a synthetic abdomen of this product, its CT or its SEG.

    All of these must hold: Manufacturer (0008,0070), Device Serial Number (0018,1000) and the start of Patient ID
    (0010,0020) are ours, and Patient Identity Removed (0012,0062) is YES. This is a label, not a proof: it tells
    a demonstration from a patient, and nothing may be trusted because of it.
    """
    return (
        str(ds.get("Manufacturer", "")) in (MANUFACTURER, SEG_MANUFACTURER)
        and str(ds.get("DeviceSerialNumber", "")) == SERIAL_NUMBER
        and str(ds.get("PatientID", "")).startswith(PATIENT_ID_PREFIX)
        and str(ds.get("PatientIdentityRemoved", "")) == "YES"
    )


def made_uid(*words: object) -> UID:
    """2.25 UID (PS3.5 B.2) from a SHA-256 of the words: the same words, the same UID.

    The first 128 bits of the digest are made a UUID of version 8 (RFC 9562: free content) and written decimal.
    """
    digest = hashlib.sha256("\x1f".join(str(word) for word in words).encode()).digest()[:16]
    number = int.from_bytes(digest, "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return UID(f"2.25.{number}")
