"""Train the demonstration model from nothing, or validate one that is there: `python -m workers.training COMMAND`.

`train --out DIR [--minutes N] [--seed N]`, `validate --model DIR [--results FILE]`; and `deep --model DIR --out DIR`,
which makes the example of a network of deep features of it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from workers.measurement.deep import folder as networks
from workers.segmentation.demo.folder import proven
from workers.segmentation.demo.model import load
from workers.segmentation.demo.tasks import LEVELS_TASK, STRUCTURES_TASK
from workers.training.card import CARD, model_card, with_results
from workers.training.deep import convert
from workers.training.evaluate import UNSEEN_SEEDS, Result, evaluate
from workers.training.export import write_log, write_manifest, write_network
from workers.training.train import Record, Run, train
from workers.training.validation import keep, kept, model_digest, summed_up

console = Console(soft_wrap=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(name="train")
def train_model(
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
    (out / CARD).write_text(model_card(run, trained, results), encoding="utf-8")
    write_manifest(out, summed_up(results, model_digest(out)))
    console.print(f"{(time.monotonic() - began) / 60:.1f} minutes in all; model in {out}")
    raise typer.Exit(_verdict(results))


@app.command()
def validate(
    model: Annotated[Path, typer.Option(help="Folder of the model; its card and manifest are written anew.")],
    results: Annotated[
        Path | None, typer.Option(help="File that keeps the result of each phantom: what it holds is not run again.")
    ] = None,
) -> None:
    """Evaluate a model on unseen phantoms, and write what was measured into its card and its manifest.

    The weights stay as they are. Ends with 1 if a bar on Dice is missed.
    """
    proven(model)
    found = evaluate_all(model, results)
    card = model / CARD
    card.write_text(with_results(card.read_text(encoding="utf-8"), found), encoding="utf-8")
    write_manifest(model, summed_up(found, model_digest(model)))
    raise typer.Exit(_verdict(found))


@app.command()
def deep(
    model: Annotated[Path, typer.Option(help="Folder of the demonstration model.")],
    out: Annotated[Path, typer.Option(help="Folder of models; the network goes to deep/ in it.")],
) -> None:
    """Make the example of a network of deep features: the model's encoder, pooled and projected."""
    proven(model)
    description, weights = convert(model)
    console.print(f"{networks.write(out, description, weights)}: {description.digest}")


def evaluate_all(folder: Path, store: Path | None = None) -> list[Result]:
    """Evaluate a model folder on the unseen phantoms and the standard one, and say each result."""
    digest = model_digest(folder)
    known = {one.seed: one for one in kept(store, digest)} if store else {}
    model = load(folder)
    results = []
    for seed in (*UNSEEN_SEEDS, None):
        result = known.get(seed) or evaluate(model, seed)
        if store and seed not in known:
            keep(store, digest, result)
        results.append(result)
        name = "standard" if seed is None else f"seed {seed}"
        console.print(f"{name}: Dice " + ", ".join(f"{part} {value:.3f}" for part, value in result.dice.items()))
        errors = ", ".join(f"{key} {value}" for key, value in result.errors.items())
        console.print(f"    {errors}, lesions {result.lesions} of {result.true_lesions}, {result.seconds:.0f} s")
    return results


def _verdict(results: list[Result]) -> int:
    met = all(result.holds for result in results)
    console.print("every bar is met" if met else "a bar is missed")
    return 0 if met else 1


def _tell(records: list[Record], record: Record) -> None:
    records.append(record)
    console.print("  ".join(f"{key} {value}" for key, value in record.items()))


if __name__ == "__main__":
    app()
