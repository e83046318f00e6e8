"""`python -m tests.faults.soak`: a thousand faults, several at once, bounded; the report goes to docs/soak.md.

Needs Redis and Orthanc on this machine; as root it also fills a small disk. Exit code 1 where an invariant is broken.
"""

import argparse
import faulthandler
import logging
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from .campaign import Campaign, Plan
from .injection import Fault, Injected
from .report import write
from .site import Site

_REPORT = Path(__file__).parents[2] / "docs" / "soak.md"
_CALM_S = 600.0
_WEIGHTS = {
    Fault.LISTENER_KILLED: 8,
    Fault.STEWARD_KILLED: 7,
    Fault.SEGMENT_KILLED: 7,
    Fault.MEASURE_KILLED: 7,
    Fault.DELIVER_KILLED: 7,
    Fault.FROZEN: 5,
    Fault.REDIS_KILLED: 6,
    Fault.REDIS_FLUSHED: 12,
    Fault.ORTHANC_KILLED: 6,
    Fault.DISK_FULL: 7,
    Fault.INBOUND_RESET: 10,
    Fault.INBOUND_HALF_CLOSED: 4,
    Fault.INBOUND_SILENT: 2,
    Fault.OUTBOUND_RESET: 8,
    Fault.OUTBOUND_HALF_CLOSED: 3,
    Fault.OUTBOUND_SILENT: 1,
}


def deck(count: int, seed: int) -> list[Fault]:
    """Return so many faults, in the shares of the weights, shuffled by hundreds."""
    one = [fault for fault, weight in _WEIGHTS.items() for _ in range(weight)]
    draw = random.Random(seed)  # noqa: S311 - chance that can be repeated
    cards: list[Fault] = []
    while len(cards) < count:
        draw.shuffle(one)
        cards += one
    return cards[:count]


def _logger() -> logging.Logger:
    """Return the logger of the progress: it alone speaks, the libraries' are silent."""
    log = logging.getLogger("soak")
    log.setLevel(logging.INFO)
    log.propagate = False
    out = logging.StreamHandler(sys.stdout)
    out.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(out)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    return log


def main() -> int:
    """Run the soak and write its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=2.0, help="no longer than this in all")
    parser.add_argument("--lanes", type=int, default=8, help="faults at once")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--report", type=Path, default=_REPORT)
    parser.add_argument("--keep", action="store_true", help="leave the home of the site where it is")
    words = parser.parse_args()
    log = _logger()
    faulthandler.register(signal.SIGUSR1)  # where is it, when it does not end?

    total_s = words.hours * 3600
    plan = Plan(
        words.seed,
        deck(words.faults, words.seed),
        faults_s=total_s - min(_CALM_S, total_s / 6),
        calm_s=min(_CALM_S, total_s / 6) * 0.9,
        lanes=words.lanes,
    )
    root = Path(tempfile.mkdtemp(prefix="crlm-soak-"))
    site = Site(root, disk_mb=1536)
    try:
        site.start()
        made: list[Injected] = []

        def tell(one: Injected) -> None:
            made.append(one)
            log.info("%4d  %7.1f s  %-34s %s", len(made), one.at_s, one.fault, one.detail)

        outcome = Campaign(site, plan, tell).run()
    finally:
        site.stop()
        if words.keep:
            log.info("kept: %s", root)
        else:
            shutil.rmtree(root)
    write(words.report, outcome, site.why_not_mounted)
    for one in outcome.complaints:
        log.error("%s", one)
    log.info("%d faults, %d violations: %s", len(outcome.injected), len(outcome.complaints), words.report)
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
