"""What every benchmark shares: the command line, rounds, the figures of a case, the table, the JSON file."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
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
    return parser(purpose).parse_args()


def parser(purpose: str) -> argparse.ArgumentParser:
    """Return what reads `--quick` and `--json FILE`, for a benchmark that is asked for more."""
    made = argparse.ArgumentParser(description=purpose)
    made.add_argument("--quick", action="store_true", help="fewer and shorter rounds: to see that it runs")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return made


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


@dataclass(frozen=True)
class Figures:
    """Medians of one way; processor time, which others on the machine move less, is told beside."""

    seconds: float
    cpu_s: float
    peak_bytes: float


def medians_of(runs: Sequence[dict[str, Any]]) -> tuple[float, float, float]:
    """Return the medians of the runs of a way, as `Figures` takes them."""
    seconds, cpu_s, peak_bytes = (
        statistics.median(one[key] for one in runs) for key in ("seconds", "cpu_s", "peak_bytes")
    )
    return seconds, cpu_s, peak_bytes


def in_rounds(
    script: str, ways: Iterable[str], folder: Path, rounds: int, *, uncounted: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Run all ways of a script beside this one in turn, round by round, each in a process of its own.

    A way is called with its name and the folder of its inputs; the last line that it prints is what it found, JSON.
    Rounds before the first may be `uncounted`: they fill the page cache.
    """
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for number in range(1 - uncounted, rounds + 1):
        for name, runs in seen.items():
            found = _run_alone(script, name, folder)
            if number > 0:
                runs.append(found)
            load = os.getloadavg()[0]
            print(f"round {number} {name}: {found['seconds']:.2f} s, load {load:.1f}", file=sys.stderr)
    return seen


def _run_alone(script: str, way: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name(script)), way, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own lines
    if done.returncode:
        raise RuntimeError(f"{way}: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
