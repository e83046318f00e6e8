"""What every benchmark shares: the command line, the figures of a case, the table, the JSON file."""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """One case: ours beside one peer.

    Parameters
    ----------
    case
        What was measured.
    ours, peer
        Medians over the rounds, in `unit`.
    peer_name
        Whom we are compared with; "a fixed bar" where `peer` is a number that was asked for.
    ratio
        How many times better we are.
    want
        The bar that `ratio` has to reach; None: told, not asked for.
    """

    case: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float
    want: float | None

    @property
    def holds(self) -> bool:
        """Whether the bar is reached; true where there is none."""
        return self.want is None or self.ratio >= self.want


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory, load, date."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).date().isoformat(),
    }


def arguments(purpose: str) -> argparse.Namespace:
    """Read `--quick` and `--json FILE`."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def table_of(results: Sequence[Result]) -> str:
    """Return the results as a table."""
    head = ("case", "ours", "peer", "", "unit", "ratio", "want", "holds")
    return table([head, *(_row(result) for result in results)])


def write(path: Path, where: dict[str, Any], results: Sequence[Result]) -> None:
    """Write the figures as JSON."""
    found = [asdict(result) | {"holds": result.holds} for result in results]
    path.write_text(json.dumps({"machine": where, "results": found}, indent=1) + "\n", encoding="utf-8")


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.case,
        f"{result.ours:.1f}",
        f"{result.peer:.1f}",
        result.peer_name,
        result.unit,
        f"{result.ratio:.2f}",
        "" if result.want is None else f"{result.want:g}",
        "" if result.want is None else "yes" if result.holds else "NO",
    )
