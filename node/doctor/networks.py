"""What the workers need, looked at by the workers: their checks join by the entry-point group `crlm_node.checks`.

Each is a function that takes the settings and returns findings; the node never imports the workers.
"""

from collections.abc import Iterator
from importlib.metadata import entry_points

from node.core.ailments import Ailment
from node.core.findings import Finding, note
from node.doctor.visit import Visit

_GROUP = "crlm_node.checks"


def look(visit: Visit) -> Iterator[Finding]:
    """Run the checks of the workers that are installed here."""
    joined = sorted(entry_points(group=_GROUP), key=lambda one: one.name)
    try:
        checks = [one.load() for one in joined]
    except ImportError as error:
        yield note(
            "networks.installed",
            f"What measures is not installed on this machine: {error.name or error} is missing.",
            ailment=Ailment.PART_MISSING,
        )
        return
    for check in checks:
        yield from check(visit.settings)
