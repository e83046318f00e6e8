"""The command `crlm-node signature fit`: a signature from a cohort, of tables or of studies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node import signatures
from node.cli.application import (
    FAILED,
    FILE,
    FOLDER,
    INTERRUPTED,
    NEW_FOLDER,
    WrongUse,
    err,
    of_the_workers,
    out,
    say,
    tell,
)
from node.cli.signature import signature_app
from node.core.errors import NotExtractable
from node.core.signals import until_told


@signature_app.command("fit")
def signature_fit(
    followup: Annotated[Path, typer.Option(help="CSV of the follow-up, a row for each patient.", **FILE)],
    id_column: Annotated[str, typer.Option("--id", metavar="COL", help="Column of patients.", show_default=False)],
    time: Annotated[str, typer.Option(metavar="COL", help="Column of times to the event.", show_default=False)],
    event: Annotated[str, typer.Option(metavar="COL", help="Column of events, 1 or 0.", show_default=False)],
    prefix: Annotated[
        str,
        typer.Option(metavar="PREFIX", help="What the names of the wanted features begin with.", show_default=False),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Where the signature is written.", **NEW_FOLDER)],
    features: Annotated[Path | None, typer.Option(help="CSV of features, a row for each patient.", **FILE)] = None,
    studies: Annotated[
        Path | None,
        typer.Option(help="In place of --features: a folder for each patient with a CT and its mask.", **FOLDER),
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="PyRadiomics' parameter file (YAML or JSON), for --studies.", **FILE)
    ] = None,
    label: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Label of the region in masks of numbers, in place of the file's."),
    ] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="LABEL|NUMBER", help="Segment of each DICOM SEG, where it holds several.")
    ] = None,
    facts: Annotated[
        list[str] | None,
        typer.Option(
            "--fact",
            metavar="COL",
            help="A column of the follow-up, or a volume in the features, that joins them; repeatable.",
            show_default=False,
        ),
    ] = None,
    log_facts: Annotated[
        list[str] | None,
        typer.Option(
            "--log-fact",
            metavar="COL",
            help="The same, of which ln(1 + value) joins them: for what a few patients have far more of; repeatable.",
            show_default=False,
        ),
    ] = None,
    baselines: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            metavar="COL",
            help="A column of the follow-up to compare with, more is worse; repeatable.",
            show_default=False,
        ),
    ] = None,
    about: Annotated[
        Path | None, typer.Option(help="TOML of what no table holds: title, population, `requires`...", **FILE)
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the times: days, months or years.")] = "months",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same signature.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats and folds: a first look.")] = False,
) -> None:
    """Fit a signature to a cohort, and judge the whole procedure on patients that it has not seen.

    Features and method are chosen inside the folds of a nested cross-validation. A cell that is empty or -999 is
    missing: such a patient is left out. With --studies the features are computed here, into features.csv in --out; the
    same command goes on where it was stopped.
    """
    command = of_the_workers("signature-fit", "fit")
    if unit not in command.UNITS:
        raise WrongUse(f"--unit is one of {', '.join(command.UNITS)}")
    alone = features is not None and not (studies or params or label or segment)
    if not alone and (features or not studies or not params):
        raise WrongUse("give --features CSV, or --studies DIR and --params YAML")
    try:
        extracted = None
        if studies:
            cohort = (studies, params, id_column, prefix, label, segment)
            extracted = _extracted(cohort, followup, folder)
        tables = command.Sources(
            extracted.features if extracted else features,
            *(followup, id_column, time, event, prefix, tuple(facts or ()), tuple(baselines or ())),
            tuple(log_facts or ()),
        )
        more = {"classes": extracted.classes, "refused": extracted.refused} if extracted else {}
        with _bar("fits", command.fits(quick=quick)) as on:
            outcome = command.fit(tables, folder, about, unit, seed, quick=quick, told=on, **more)
    except command.WrongCohort as error:
        raise WrongUse(str(error)) from error
    signatures.fitted(out, outcome.report)
    say(f"Written to {folder}: {', '.join(outcome.files)}")


def _extracted(words: tuple[Any, ...], followup: Path, folder: Path) -> Any:
    """Compute the features of a cohort of studies; each patient without features is a line on stderr."""
    command = of_the_workers("signature-studies")
    cohort = command.Studies(*words)
    patients = command.waiting(cohort, followup)
    with until_told() as stop, _bar("patients", len(patients)) as on:

        def told(patient: str, why: str) -> None:
            on()
            if why:
                tell(f"{patient}: {why}", FAILED)

        try:
            extracted = command.extract(cohort, patients, folder, stop, told)
        except NotExtractable as error:
            raise WrongUse(f"{error.code}: {error}") from error
    if stop.is_set():
        say(f"Stopped: the same command goes on from {folder / command.FEATURES}")
        raise typer.Exit(INTERRUPTED)
    say(f"Features of {len(patients) - len(extracted.refused)} of {len(patients)} patients: {extracted.features}")
    return extracted


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal while the block lasts, and yield what moves it on."""
    columns = (TextColumn(what), BarColumn(30), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
