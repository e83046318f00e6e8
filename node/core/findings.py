"""What `crlm-node doctor` finds: a sentence about one thing that was looked at, and the cure where it is not well.

Comes in: what a check of the node (`node.doctor`) or of the workers (entry-point group `crlm_node.checks`) has seen.
Goes out: `Finding`, for the terminal and as JSON, without patient data. What may be wrong, and its cure, is a closed
list: `node.core.ailments`.
"""

from dataclasses import dataclass
from enum import StrEnum

from node.core.ailments import Ailment


class Part(StrEnum):
    """What is looked at, in the order in which it is told."""

    SETTINGS = "settings"
    DISK = "disk"
    LEDGER = "ledger"
    BROKER = "broker"
    CLOCK = "clock"
    PROCESSES = "processes"
    NETWORKS = "networks"
    PEERS = "peers"
    PHANTOM = "phantom"


class Level(StrEnum):
    """How it stands: `note` was not looked at or needs nothing, `warning` works for now, `fault` does not work."""

    FINE = "fine"
    NOTE = "note"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    check
        Its constant name, as `disk.space`.
    level
        How it stands.
    found
        What was seen, a sentence.
    subject
        What of several it is about: a peer, a device, a queue.
    ailment
        What is wrong; None where nothing is.
    cure
        What to do about it, with the names filled in.
    """

    check: str
    level: Level
    found: str
    subject: str = ""
    ailment: Ailment | None = None
    cure: str = ""


def fine(check: str, found: str, subject: str = "") -> Finding:
    """Return what is well."""
    return Finding(check, Level.FINE, found, subject)


def note(check: str, found: str, subject: str = "", ailment: Ailment | None = None, **facts: object) -> Finding:
    """Return what was not looked at, or is as it may be; with an ailment, what one may do."""
    return _of(check, Level.NOTE, found, subject, ailment, facts)


def warning(check: str, ailment: Ailment, found: str, subject: str = "", **facts: object) -> Finding:
    """Return what works for now."""
    return _of(check, Level.WARNING, found, subject, ailment, facts)


def fault(check: str, ailment: Ailment, found: str, subject: str = "", **facts: object) -> Finding:
    """Return what does not work."""
    return _of(check, Level.FAULT, found, subject, ailment, facts)


def _of(
    check: str, level: Level, found: str, subject: str, ailment: Ailment | None, facts: dict[str, object]
) -> Finding:
    cure = ailment.sentence.format(**facts) if ailment else ""
    return Finding(check, level, found, subject, ailment, cure)
