"""The model card: data, training, what was reached on unseen phantoms, and what the model is for.

In: the run, its time, the results. Out: Markdown. Nothing can go wrong here. Next: `export` hashes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.core.codes import MEASUREMENTS
from workers.segmentation.demo.labels import PARTS, Label
from workers.segmentation.demo.tasks import Task
from workers.training.evaluate import BARS, HU, NOISE_SD_HU, Result
from workers.training.samples import FIRST_TRAINING_SEED
from workers.training.train import Run, Trained

CARD = "MODEL_CARD.md"
_SHOWN = (
    *("liver.volume", "psoas.left.volume", "psoas.right.volume", "psoas.pmvi", "psoas.pmi"),
    *("liver.mean_hu", "l1.mean_hu", "burden.max_diameter"),
)
"""Numbers whose errors the card shows."""
_TEXT = """# Demonstration model: the synthetic abdomen

**DEMONSTRATION MODEL. It was trained on abdomens made of formulas and has never seen a patient. On a patient's CT its
labels mean nothing.** The node gives it only studies that its own phantom made, unless a person forces it.

## What it is
Two PlainConvUNets of nnU-Net v2. {networks}
`levels` sees the whole abdomen at once and so can name vertebrae; `structures` sees a part of it on fine voxels, and
beside the CT where `levels` found liver and psoas muscles, and finds surfaces. Input: CT in HU, slices from the feet
to the head. Labels: {labels}.
A whole vertebra is its body and its arch; the liver is liver and lesion. Weights: float16 arrays in
`fold_0/weights.npz`, no pickle. Licence: Apache-2.0.

## Data
{phantoms} random phantoms of `node/phantom` (seeds from {first_seed} on): size, pose, fat, muscle, spine, liver,
lesions, attenuation and contrast phase vary; noise of 0.5 to 4 HU (`levels`) and 1 to 9 HU (`structures`) after
averaging to the network's voxels, errors of the HU scale of up to 3 % and 6 HU, positions that vary. What `structures`
is shown of `levels` is the truth, blurred, moved and with parts that are missing or false. No patient's data.

## Training
`python -m workers.training train --out models/demo --seed {seed}` on a CPU, {threads} thread for the network and one
for painting, on a machine that others used as well: {times}. Log in `training.jsonl`. {verdict}

## What it reaches
Phantoms that it never saw, painted at full size (512 x 512, slices of 3 mm, noise of {noise:g} HU), resampled back to
their own grid. Bars: Dice {bars}. Every number, with its error on each of these phantoms, is in `manifest.json`.

Dice:

{dice}

Errors against the exact truth (in percent, attenuations in HU; lesions found / true; seconds on one thread):

{errors}

## Intended use
To show and test this software without a patient's data and without downloads. Not for research on patients, not for
care, not as a start for other training.

## Limits
Lesions under 0.1 mL are not reported. Anything that the phantom
does not show (disease, metal, gas in odd places, another position on the table, another part of the body) is unknown
to it.
"""


def model_card(run: Run, trained: Mapping[Task, Trained], results: Sequence[Result]) -> str:
    """Write the card."""
    met = all(result.holds for result in results)
    return _TEXT.format(
        networks=" ".join(_network(task, one) for task, one in trained.items()),
        labels=", ".join(f"{int(label)} {label.name.lower()}" for label in Label),
        phantoms=run.phantoms,
        first_seed=FIRST_TRAINING_SEED * (1 + run.seed),
        seed=run.seed,
        threads=run.threads,
        times=", ".join(
            f"`{task.name}` {one.steps} steps in {one.minutes:.1f} minutes" for task, one in trained.items()
        ),
        verdict="Every bar on Dice is met." if met else "NOT EVERY BAR ON DICE IS MET.",
        noise=NOISE_SD_HU,
        bars=", ".join(f"{name} {bar:g}" for name, bar in BARS.items()),
        dice=_dice(results),
        errors=_errors(results),
    )


def with_results(card: str, results: Sequence[Result]) -> str:
    """Return a card with the tables of other results: Dice, then errors."""
    blocks = card.split("\n\n")
    dice, errors = (index for index, block in enumerate(blocks) if block.startswith("|"))
    blocks[dice], blocks[errors] = _dice(results), _errors(results)
    return "\n\n".join(blocks)


def _network(task: Task, trained: Trained) -> str:
    count = sum(value.numel() for value in trained.network.parameters())
    spacing = " x ".join(f"{edge:g}" for edge in task.spacing_mm)
    return f"`{task.name}`: {count:,} parameters, voxels of {spacing} mm."


def _dice(results: Sequence[Result]) -> str:
    return _table(("phantom", *PARTS), [(_name(r), *(f"{r.dice[part]:.3f}" for part in PARTS)) for r in results])


def _errors(results: Sequence[Result]) -> str:
    rows = [
        (
            _name(r),
            *(_error(name, r.errors.get(name)) for name in _SHOWN),
            f"{r.lesions} / {r.true_lesions}",
            f"{r.seconds:.0f}",
        )
        for r in results
    ]
    return _table(("phantom", *_SHOWN, "lesions", "s"), rows)


def _error(name: str, error: float | None) -> str:
    """Write an error; a dash where there is no truth, or no number."""
    if error is None:
        return "-"
    return f"{error:+.2f}" if MEASUREMENTS[name].unit == HU else f"{100 * error:+.2f}"


def _name(result: Result) -> str:
    return "standard" if result.seed is None else f"seed {result.seed}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
