"""The command `crlm-node radiomics`: radiomic features of a region, or of a list of regions."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.cli.application import (
    FAILED,
    FILE,
    INTERRUPTED,
    NEW_FILE,
    OK,
    WrongUse,
    app,
    err,
    of_the_workers,
    say,
    settings_in_force,
    tell,
)
from node.core.errors import NotExtractable
from node.core.signals import until_told


class Engine(StrEnum):
    """Who computes the features."""

    FAST = "fast"
    PYRADIOMICS = "pyradiomics"


@app.command()
def radiomics(
    out: Annotated[Path, typer.Option(help="Table of features (CSV).", **NEW_FILE)],
    image: Annotated[
        Path | None, typer.Argument(metavar="IMAGE", help="NIfTI, NRRD, or a folder with one CT series.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Argument(help="Labels on the grid of the image, or a DICOM SEG.", **(NEW_FILE | {"metavar": "MASK"})),
    ] = None,
    params: Annotated[Path | None, typer.Option(help="PyRadiomics' parameter file (YAML or JSON).", **FILE)] = None,
    deep: Annotated[
        str | None, typer.Option(metavar="ID", help="Network of deep features, which come after the others.")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="Ours, or PyRadiomics itself.")] = Engine.FAST,
    label: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Label of the region, in place of the file's.")
    ] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="LABEL|NUMBER", help="Segment of the DICOM SEG, where it holds several.")
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="List of regions: columns Image, Mask; Label or Segment.", **(FILE | {"metavar": "CSV"})),
    ] = None,
) -> None:
    """Compute radiomic features under the names and definitions of PyRadiomics, or deep features, or both.

    The table has the columns of PyRadiomics' own command. What the parameter file asks for and is not offered is
    refused by its name. With --batch a region that has no features leaves them empty, and the exit code is 1; the same
    command again measures those that are missing.
    """
    table = of_the_workers("radiomics")
    if (batch is None) == (image is None or mask is None) or (batch and (image or mask or label or segment)):
        raise WrongUse("give IMAGE and MASK, or --batch CSV")
    if params is None and deep is None:
        raise WrongUse("give --params, --deep, or both")
    if not out.absolute().parent.is_dir():
        raise WrongUse(f"{out.parent} is not there")
    try:
        regions = table.listed(batch) if batch else [table.one(image, mask, label, segment)]
        network = table.network(settings_in_force().models, deep) if deep else None
        code = _run(table, regions, params, engine, network, out)
    except NotExtractable as error:
        code = tell(f"{error.code}: {error}", FAILED)
    raise typer.Exit(code)


def _run(table: Any, regions: Any, params: Path | None, engine: Engine, network: Any, out: Path) -> int:
    """Compute with a bar on a terminal; a region without features is a line on stderr."""
    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    several = len(regions) > 1
    with (
        until_told() as stop,
        Progress(*columns, console=err, transient=True, disable=not (several and err.is_terminal)) as bar,
    ):
        task = bar.add_task("", total=len(regions))

        def ended(region: Any, why: NotExtractable | None) -> None:
            bar.update(task, advance=1, description=region.mask.name)
            if why is not None:
                name = f"{region.mask.name}: " if several else ""
                tell(f"{name}{why.code}: {why}", FAILED)

        done = table.run(regions, params, engine.value, out, deep=network, stop=stop, on_end=ended)
    if done.waiting:
        told = done.measured + done.failed
        say(
            f"Stopped: {told} of {len(regions)} regions are in {out}; the same command goes on"
            if told
            else "Stopped before the first region had ended: nothing is written"
        )
        return INTERRUPTED
    if done.measured:
        earlier = f", {done.before} of them by an earlier run" if done.before else ""
        say(f"Written to {out}: {done.measured} of {len(regions)} regions{earlier}" if several else f"Written to {out}")
    return FAILED if done.failed else OK
