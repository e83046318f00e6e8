"""What stage 1 hands to stage 2: one instance as a peer offered it, and what became of it."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Offer:
    """A C-STORE request (PS3.7 section 9.1.1), nothing of it checked.

    Parameters
    ----------
    association_id
        Of the association that it came over, 36 characters.
    calling_ae_title, called_ae_title, host
        Who sends it, and to whom.
    abstract_syntax, transfer_syntax_uid
        Of the presentation context that it came over.
    sop_class_uid, sop_instance_uid
        What the request announces.
    data_set
        The encoded data set, as it came, in pieces; they are not kept.
    """

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    host: str
    abstract_syntax: str
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    data_set: tuple[bytes | memoryview, ...]


class Taken(StrEnum):
    """What became of an offer that is answered with success."""

    STORED = "stored"
    KNOWN = "known"
    RESTORED = "restored"
    VARIANT = "variant"
    OWN_RESULT = "own-result"
