"""`crlm-node doctor`: the whole chain looked at, link by link, with a cure for what is not well.

Comes in: the file of the settings. Goes out: findings (`node.core.findings`), in the order of `CHECKS`. A check looks
and changes nothing: it makes no ledger, no folder, no entry of the audit trail; one file is written to the spool and
removed. Only the phantom, which is asked for, goes to the PACS. What can go wrong is what is found: an expected failure
becomes a finding here. Who is next: a person, or what monitors the site, by `node.cli.doctor`.

Modules: `settings` (what the others need first), `disk`, `ledger`, `broker`, `clock`, `processes`, `networks` (checks
of the workers, by entry points), `peers` (associations), `orthanc` and `web` (HTTP), `phantom`; `chart` draws.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from node.core.findings import Finding, Part
from node.doctor import broker, clock, disk, ledger, networks, orthanc, peers, phantom, processes, settings, web
from node.doctor.visit import Visit

Check = Callable[[Visit], Iterator[Finding]]

CHECKS: tuple[tuple[Part, Check], ...] = (
    (Part.SETTINGS, settings.look),
    (Part.DISK, disk.look),
    (Part.LEDGER, ledger.look),
    (Part.BROKER, broker.look),
    (Part.CLOCK, clock.look),
    (Part.PROCESSES, processes.look),
    (Part.NETWORKS, networks.look),
    (Part.PEERS, peers.look),
    (Part.PEERS, web.look),
    (Part.PEERS, orthanc.look),
    (Part.PHANTOM, phantom.look),
)


def examine(
    option: Path | None, *, orthanc: str = "", phantom: bool = False, on_part: Callable[[Part], None] = lambda _: None
) -> Iterator[tuple[Part, Finding]]:
    """Look at everything, and yield each finding when it is known.

    Parameters
    ----------
    option
        File of the settings, as `--config` names it.
    orthanc
        URL of the REST interface of an Orthanc, which says what it knows of us; empty: that of DICOMweb destinations.
    phantom
        Whether a synthetic study is stored at each PACS.
    on_part
        Is told of each part before it is looked at.
    """
    on_part(Part.SETTINGS)
    loaded, found = settings.read(option)
    if found is not None:
        yield Part.SETTINGS, found
    if loaded is None:
        return
    visit = Visit(loaded, orthanc, phantom)
    for part, check in CHECKS:
        on_part(part)
        for finding in check(visit):
            yield part, finding
