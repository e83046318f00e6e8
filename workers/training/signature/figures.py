"""The figures of a fitted signature, each as SVG and PNG: survival of the groups, AUC over time, calibration, the
coefficient path, and how often each feature was taken.

In: all that a run found. Out: files. What can go wrong: the folder cannot be written (`OSError`). Next: a reader.

The same run gives the same SVG: no date, no random identifiers. Colours are told apart by colour-blind readers, and
each line is labelled where it ends.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from workers.training.signature.concordance import ratio
from workers.training.signature.curves import at_risk, kaplan_meier
from workers.training.signature.judgement import CALIBRATED_AT_YEARS
from workers.training.signature.report import Run

Array = NDArray[np.float64]
FOLDER = "figures"
_LOW, _HIGH, _INK, _SOFT, _FAINT = "#00798c", "#d1495b", "#22303c", "#6b7a89", "#d9dfe5"
_DPI = 200
_SHOWN = 15
_STEPS = {
    "lasso": "step of the path: a smaller penalty",
    "elastic-net": "step of the path: a smaller penalty",
    "boosting": "step of the path: more updates",
    "stability": "features",
}
_STYLE: Any = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "svg.hashsalt": "crlm-node",
    "svg.fonttype": "none",
}


def draw(run: Run, year: float, out: Path) -> list[Path]:
    """Draw every figure into `out`/figures and return the files."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        figures: Mapping[str, Figure] = {
            "kaplan-meier": survival(run, year),
            "auc": auc(run),
            "calibration": calibration(run),
            "coefficient-path": path(run),
            "selection-stability": stability(run),
        }
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            figure.savefig(folder / f"{name}.png", dpi=_DPI, metadata={"Software": None})
    return [folder / f"{name}.{kind}" for name in figures for kind in ("svg", "png")]


def survival(run: Run, year: float) -> Figure:
    """Kaplan-Meier curves of the groups by unseen scores, with 95 % bands and the numbers at risk."""
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    axes, table = figure.subplots(2, 1, height_ratios=(5, 1), sharex=True)
    cohort, judged = run.cohort, run.judged
    end = np.ceil(np.quantile(cohort.time, 0.95) / year)
    ticks = np.arange(0, end + 1)
    for row, (name, colour, who) in enumerate((("high", _HIGH, judged.high), ("low", _LOW, ~judged.high))):
        time, event = cohort.time[who] / year, cohort.event[who]
        curve = kaplan_meier(time, event)
        x, lines = np.append(curve.time, time.max()), (curve.survival, curve.low, curve.high)
        mid, low, high = (np.append(one, one[-1]) for one in lines)
        axes.step(x, mid, where="post", color=colour, linewidth=2)
        axes.fill_between(x, low, high, step="post", color=colour, alpha=0.13, linewidth=0)
        censored = np.sort(time[~event])
        axes.plot(censored, [curve.at(one)[0] for one in censored], "|", color=colour, markersize=6)
        for tick, count in zip(ticks, at_risk(time, ticks), strict=True):
            table.text(tick, 1 - row, str(count), color=colour, ha="center", va="center")
        axes.plot([], [], color=colour, linewidth=2, label=f"{name} score, {who.sum()} patients, {event.sum()} events")
    _begin(axes, "Survival of the groups, by scores that had not seen the patient")
    effect, p = judged.groups, judged.log_rank_p
    ratio_text = f"hazard ratio {effect.value:.2f} ({effect.low:.2f} to {effect.high:.2f})"
    words = f"{ratio_text}\nlog-rank p = {p:.2g}, folds as strata"
    axes.text(0.99, 0.98, words, transform=axes.transAxes, ha="right", va="top", linespacing=1.4)
    axes.legend(loc="lower left", frameon=False)
    axes.set(ylim=(0, 1.02), xlim=(0, end), ylabel="survival", xticks=ticks)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(axis="x", labelbottom=True)
    table.set(ylim=(-0.6, 1.6), yticks=(0, 1), xlabel="years")
    table.set_yticklabels(["low", "high"])
    table.set_title("at risk", loc="left", fontsize=10, color=_SOFT)
    table.spines[:].set_visible(False)
    table.tick_params(length=0, labelbottom=False)
    table.tick_params(axis="y", pad=22)
    return figure


def auc(run: Run) -> Figure:
    """AUC by each year, with 95 % intervals."""
    figure, axes = _single("AUC over time, by scores that had not seen the patient")
    years, found = list(run.judged.auc), list(run.judged.auc.values())
    mid = [one.value for one in found]
    axes.fill_between(years, [one.low for one in found], [one.high for one in found], color=_LOW, alpha=0.15, lw=0)
    axes.plot(years, mid, "o-", color=_LOW, linewidth=2)
    for x, one in zip(years, found, strict=True):
        axes.annotate(f"{one.value:.2f}", (x, one.value), (0, 8), textcoords="offset points", ha="center")
    axes.axhline(0.5, color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(0.99, 0.495, "a coin", transform=axes.get_yaxis_transform(), color=_SOFT, ha="right", va="top")
    low = min([0.4, *(one.low for one in found)])
    high = max([0.8, *(one.high for one in found)])
    axes.set(xticks=years, xlabel="years", ylabel="AUC (cumulative/dynamic)", ylim=(low - 0.03, min(1.0, high + 0.03)))
    axes.margins(x=0.08)
    return figure


def calibration(run: Run) -> Figure:
    """Observed against predicted survival, in quarters of the patients by prediction."""
    figure, axes = _single(
        f"Calibration at {CALIBRATED_AT_YEARS} years, quarters of the patients", width=5.2, height=5.2
    )
    quarters = run.judged.quarters
    x = np.array([one.predicted for one in quarters])
    y = np.array([one.observed.value for one in quarters])
    spread = np.array(
        [[one.observed.value - one.observed.low, one.observed.high - one.observed.value] for one in quarters]
    )
    ends = np.array([min(x.min(), (y - spread[:, 0]).min()), max(x.max(), (y + spread[:, 1]).max())])
    ends = np.clip(ends + np.array([-0.04, 0.04]), 0, 1)
    axes.plot(ends, ends, color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    axes.errorbar(x, y, spread.T, fmt="o", color=_LOW, elinewidth=1.5, capsize=3, markersize=7)
    axes.text(0.02, 0.97, f"slope {run.judged.slope:.2f}; 1 is right", transform=axes.transAxes, va="top")
    axes.set(
        xlim=ends, ylim=ends, aspect="equal", xlabel="predicted survival", ylabel="observed survival (Kaplan-Meier)"
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def path(run: Run) -> Figure:
    """Coefficients of the chosen method along its path on all patients; the chosen step is marked."""
    figure, axes = _single(f"Coefficients along the path: {run.fitted.method}, all patients", width=9.0)
    fitted = run.fitted
    steps = np.arange(len(fitted.path) + 1)
    chosen = set(fitted.places.tolist())
    colours = iter(mpl.colormaps["tab10"](np.linspace(0, 0.95, 10)))
    ends: list[tuple[float, str, object]] = []
    for column, row in zip(fitted.columns.tolist(), fitted.path.T, strict=True):
        if not row.any():
            continue
        colour = next(colours, _SOFT) if column in chosen else _FAINT
        axes.plot(steps, np.append(0.0, row), color=colour, linewidth=2 if column in chosen else 1.2)
        if column in chosen:
            ends.append((float(row[-1]), _short(run.cohort.names[column]), colour))
    axes.axhline(0, color=_SOFT, linewidth=0.8)
    axes.axvline(fitted.step + 1, color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlabel=_STEPS[fitted.method], ylabel="coefficient per SD")
    side = -1 if fitted.step + 1 > steps[-1] / 2 else 1
    axes.annotate(
        "chosen", (fitted.step + 1, 1), (4 * side, -4), xycoords=("data", "axes fraction"),
        textcoords="offset points", color=_SOFT, va="top", ha="left" if side > 0 else "right",
    )  # fmt: skip
    axes.set_xlim(0, steps[-1])
    low, high = axes.get_ylim()
    for (value, name, colour), at in zip(
        sorted(ends, key=lambda one: one[0]), _apart(ends, (high - low) / 18), strict=True
    ):
        axes.annotate(
            name, (steps[-1], value), (1.03, at), xycoords="data", textcoords=axes.get_yaxis_transform(),
            va="center", color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.8, "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 0},
        )  # fmt: skip
    return figure


def stability(run: Run) -> Figure:
    """How often the outer folds took each feature; those of the signature are in colour."""
    taken = dict(list(run.judged.taken.items())[:_SHOWN])
    names = [run.cohort.names[place] for place in run.fitted.places]
    for name in names:
        taken.setdefault(name, run.judged.taken.get(name, 0.0))
    figure, axes = _single("How often the outer folds took each feature", width=9.0, height=1.4 + 0.27 * len(taken))
    parts = list(taken.items())[::-1]
    colours = [_LOW if name in names else _FAINT for name, _ in parts]
    axes.barh([_short(name) for name, _ in parts], [part for _, part in parts], color=colours, height=0.72)
    for row, (_, part) in enumerate(parts):
        axes.text(part + 0.008, row, f"{part:.0%}", va="center", fontsize=9)
    axes.barh([0], [0], color=_LOW, label="in the signature of all patients")
    axes.barh([0], [0], color=_FAINT, label="not in it")
    axes.legend(frameon=False, loc="lower right")
    axes.set(xlim=(0, min(1.08, 1.25 * max([0.2, *taken.values()]))), xlabel=f"part of {_fits(run)} outer folds")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", length=0)
    axes.margins(y=0.01)
    return figure


def _single(title: str, width: float = 6.4, height: float = 4.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _begin(axes, title)
    return figure, axes


def _begin(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11, pad=12)
    axes.grid(color=_FAINT, linewidth=0.7, alpha=0.7)
    axes.set_axisbelow(True)


def _short(name: str) -> str:
    """Return a feature's name without what all have in common."""
    return name.removeprefix("original_").replace("_", " ")


def _apart(ends: list[tuple[float, str, object]], least: float) -> list[float]:
    """Return heights for labels, rising, at least so far apart, near to where their lines end."""
    values = sorted(one[0] for one in ends)
    heights: list[float] = []
    for value in values:
        heights.append(max(value, heights[-1] + least) if heights else value)
    shift = ratio(sum(heights) - sum(values), len(values)) if values else 0.0
    return [one - shift for one in heights]


def _fits(run: Run) -> int:
    return sum(len(row) for row in run.outer.fits)
