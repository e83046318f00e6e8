"""The report of a soak, as a page of the docs."""

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .campaign import Outcome
from .injection import Fault
from .invariants import Invariant

_HEAD = """# Soak: faults while studies travel

Written by `make soak`; the last run. Real processes of the node, a real Redis, a real Orthanc. While studies are sent,
processes are killed (`kill -9`) and frozen, servers taken away, the disk filled, connections cut; then the site comes
to rest and is judged from outside: by the sender's own log, the files of the spool, the rows of the ledger, and what
Orthanc holds. What is promised, and what keeps it: [durability.md](durability.md).
"""


def write(path: Path, outcome: Outcome, why_no_disk: str) -> None:
    """Write the page."""
    parts = (_HEAD, _run(outcome), _faults(outcome, why_no_disk), _load(outcome), _verdict(outcome))
    path.write_text("\n".join(parts), encoding="utf-8")


def _run(out: Outcome) -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory_gb:.0f} GiB, {platform.system()} {platform.machine()}"
    return _table(
        ("run", ""),
        [
            ("date", f"{out.began:%Y-%m-%d %H:%M} UTC"),
            ("machine", f"{machine}, Python {platform.python_version()}"),
            ("commit", _commit()),
            ("seed", str(out.plan.seed)),
            ("load of the machine", f"{os.getloadavg()[2]:.0f} at the end, over 15 minutes"),
            ("faults injected", f"{len(out.injected)} of {len(out.plan.faults)} planned"),
            ("at once, at most", str(out.most_at_once)),
            ("time of faults", f"{out.faults_took_s / 60:.1f} min"),
            ("then until rest", f"{out.rest_took_s / 60:.1f} min"),
        ],
    )


def _faults(out: Outcome, why_no_disk: str) -> str:
    made = Counter(one.fault for one in out.injected)
    idle = Counter(one.fault for one in out.injected if one.detail.startswith("idle"))
    missed: Counter[Fault] = Counter()
    for (fault, _), count in out.not_injected.items():
        missed[fault] += count
    rows = [(fault.value, str(made[fault]), str(idle[fault] or ""), str(missed[fault] or "")) for fault in Fault]
    note = f"\nThe disk was not filled: {why_no_disk}.\n" if why_no_disk else ""
    told = (
        "\n`idle`: struck although it was at no work at that moment. `not made`, and not counted: no byte came to be "
        "cut, or the process was just starting.\n"
    )
    return _table(("fault", "made", "of them idle", "not made"), rows) + told + note


def _load(out: Outcome) -> str:
    forms = Counter(out.studies.values())
    statuses = ", ".join(f"{code:04X}: {count}" for code, count in sorted(out.statuses.items()))
    ends = Counter({name: sum(codes.values()) for name, codes in out.ends.items()})
    by_itself = sum(count for codes in out.ends.values() for code, count in codes.items() if code != -9)
    return _table(
        ("load", ""),
        [
            (
                "studies",
                f"{len(out.studies)}: " + ", ".join(f"{count} {form}" for form, count in sorted(forms.items())),
            ),
            ("studies sent again though complete", str(out.resent)),
            ("instances acknowledged", str(out.acknowledged)),
            ("answers", statuses),
            ("associations", f"{out.associations}, of them {out.broken} had to be followed by another"),
            ("process restarts", f"{ends.total()}, of them {by_itself} after an end of its own"),
            ("jobs superseded by a later content", str(out.superseded)),
            ("objects in Orthanc", str(out.held)),
        ],
    )


def _verdict(out: Outcome) -> str:
    broken = Counter(one.invariant for one in out.violations)
    rows = [(one.value, str(broken[one])) for one in Invariant]
    rows.append(("everything sent could be sent to its end", str(len(out.unsent))))
    told = out.complaints
    listed = "".join(f"- {one}\n" for one in told[:50])
    more = f"\n{len(told) - 50} more.\n" if len(told) > 50 else ""
    return _table(("invariant", "violations"), rows) + (f"\n## Violations\n\n{listed}{more}" if told else "")


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
