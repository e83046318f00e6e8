"""Train the demonstration model from nothing: `python -m workers.training --out DIR [--minutes N] [--seed N]`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from workers.segmentation.demo.model import load
from workers.segmentation.demo.tasks import LEVELS_TASK, STRUCTURES_TASK
from workers.training.card import model_card
from workers.training.evaluate import UNSEEN_SEEDS, Result, evaluate
from workers.training.export import write_log, write_manifest, write_network
from workers.training.train import Record, Run, train

console = Console(soft_wrap=True)


def main(
    out: Annotated[Path, typer.Option(help="Folder of the model; files in it are replaced.")],
    minutes: Annotated[
        float, typer.Option(help="Most minutes of processor time to train both networks; the evaluation follows.")
    ] = 50.0,
    seed: Annotated[int, typer.Option(help="Seed of phantoms, weights and order.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Steps to train each network; as its task says.")] = None,
    phantoms: Annotated[int, typer.Option(help="Phantoms to train on.")] = Run.phantoms,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = Run.threads,
) -> None:
    """Train, evaluate on unseen phantoms, and write the model with its card and manifest.

    Ends with 1 if a bar on Dice is missed.
    """
    run = Run(seed=seed, steps=steps, minutes=minutes / 2, phantoms=phantoms, threads=threads)
    records: list[Record] = []
    began = time.monotonic()
    trained = {}
    for task in (LEVELS_TASK, STRUCTURES_TASK):
        trained[task] = one = train(task, run, lambda record: _tell(records, record))
        console.print(f"{task.name}: trained {one.steps} steps in {one.minutes:.1f} minutes")
        write_network(out, task, one.network)
    write_log(out, records)
    results = evaluate_all(out)
    (out / "MODEL_CARD.md").write_text(model_card(run, trained, results), encoding="utf-8")
    write_manifest(out)
    whole = (time.monotonic() - began) / 60
    met = all(result.holds for result in results)
    console.print(f"{'every bar is met' if met else 'a bar is missed'}; {whole:.1f} minutes in all; model in {out}")
    raise typer.Exit(0 if met else 1)


def evaluate_all(folder: Path) -> list[Result]:
    """Evaluate a model folder on the unseen phantoms and the standard one, and say each result."""
    model = load(folder)
    results = []
    for seed in (*UNSEEN_SEEDS, None):
        results.append(result := evaluate(model, seed))
        name = "standard" if seed is None else f"seed {seed}"
        console.print(f"{name}: Dice " + ", ".join(f"{part} {value:.3f}" for part, value in result.dice.items()))
        errors = ", ".join(f"{key} {value:+.2f}" for key, value in result.errors.items())
        console.print(f"    {errors}, lesions {result.lesions} of {result.true_lesions}, {result.seconds:.0f} s")
    return results


def _tell(records: list[Record], record: Record) -> None:
    records.append(record)
    console.print("  ".join(f"{key} {value}" for key, value in record.items()))


if __name__ == "__main__":
    typer.run(main)
