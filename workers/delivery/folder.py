"""A folder as a destination: each object is written to `<folder>/<study>/<SOP Instance UID>.dcm` and read back."""

import os
from collections.abc import Mapping
from pathlib import Path

from node.core.errors import Unavailable
from node.core.reasons import Outage
from node.core.settings import FolderDestination
from node.core.spool import digest
from workers.delivery.consignment import Consignment, Outcome


def deliver(consignment: Consignment, destination: FolderDestination) -> Mapping[str, Outcome]:
    """Return by SOP Instance UID the proof or the error."""
    outcomes: dict[str, Outcome] = {}
    for delivery in consignment.due:
        target = destination.path / consignment.study_uid / f"{delivery.sop_instance_uid}.dcm"
        try:
            _write_whole(target, consignment.content(delivery))
            same = digest(target.read_bytes()) == delivery.digest
        except OSError as error:
            outcomes[delivery.sop_instance_uid] = Unavailable(Outage.DESTINATION_UNREACHABLE, str(error.strerror))
            continue
        lost = Unavailable(Outage.DESTINATION_LOST, "the file reads back differently")
        outcomes[delivery.sop_instance_uid] = "read back from the folder" if same else lost
    return outcomes


def _write_whole(target: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, and stays through a power cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
