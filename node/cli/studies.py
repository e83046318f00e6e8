"""The commands on studies: send, measure, make one up, and look at what became of them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from node import dry_run, operations, overview, screens, selection
from node.cli import cohort
from node.cli.application import (
    FAILED,
    FILE,
    FOLDER,
    NEW_FILE,
    NEW_FOLDER,
    OK,
    WrongUse,
    app,
    ledger_of,
    of_the_workers,
    say,
    settings_in_force,
    tell,
)
from node.cli.application import (
    out as console,
)
from node.core import signatures
from node.core.peer import Peer
from node.folder import rank_folder, request_for_folder
from node.send import files_below


@app.command()
def send(
    folder: Annotated[Path, typer.Argument(help="Folder with DICOM files.", **FOLDER)],
    to: Annotated[str, typer.Option(metavar="AET@HOST:PORT", help="Destination.", show_default=False)],
    calling: Annotated[str, typer.Option(metavar="AET", help="AE title that we call with.")] = "CRLM_SEND",
) -> None:
    """Send a folder by C-STORE, with a progress bar.

    Files that are no DICOM are skipped. Exit code 1 where a file was not stored.
    """
    peer = _peer(to, calling)
    if not files_below(folder):
        raise WrongUse(f"{folder} holds no DICOM file")
    report = screens.send(console, folder, peer)
    screens.sent(console, report)
    raise typer.Exit(report.exit_code)


@app.command()
def analyse(
    out: Annotated[Path, typer.Option(help="Folder for result.json, seg.dcm and the SR.", **NEW_FOLDER)],
    folder: Annotated[Path | None, typer.Argument(help="Folder with one study.", **FOLDER)] = None,
    seg: Annotated[Path | None, typer.Option(help="DICOM SEG to measure on.", **FILE)] = None,
    facts: Annotated[
        Path | None, typer.Option(help="Form of patient facts, in place of the site's `patient_facts`.", **FILE)
    ] = None,
    force_demo_model: Annotated[
        bool, typer.Option("--force-demo-model", help="Let the demonstration model run on a real study.")
    ] = False,
    batch: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|CSV",
            exists=True,
            help="Measure many studies: all below a folder, or those that a CSV file names.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With --batch: studies at once.", show_default=False)
    ] = None,
) -> None:
    """Measure a folder, without network.

    Runs the same code as the workers. A study that is refused gets a result.json with the reason, and exit code 1.
    With --batch each study gets a folder in --out, and all numbers are in measurements.csv and measurements.parquet
    there. The same command again measures what has no result yet, and what has changed. Exit code 1 where one failed.
    """
    settings_ = settings_in_force()
    if facts is not None:
        settings_ = settings_.model_copy(update={"patient_facts": facts})
    signatures.require(settings_)
    if batch is not None:
        if folder is not None or seg is not None:
            raise WrongUse("--batch goes with neither a folder nor --seg: a CSV file names segmentations")
        raise typer.Exit(cohort.measure(batch, out, settings_, jobs, force_demo=force_demo_model))
    if folder is None or jobs is not None:
        raise WrongUse("analyse takes a folder with one study, or --batch, perhaps with --jobs")
    run = of_the_workers("analyse")
    request = request_for_folder(folder, seg, settings_, now=datetime.now(UTC).replace(tzinfo=None))
    try:
        document, files = run(request, out, settings_, force_demo=force_demo_model)
    except FileExistsError as error:
        raise WrongUse(str(error)) from error
    screens.result(console, document)
    say(f"Written to {out}: " + ", ".join(files))
    raise typer.Exit(FAILED if document["refusal"] else OK)


@app.command()
def series(folder: Annotated[Path, typer.Argument(help="Folder with one study.", **FOLDER)]) -> None:
    """Show which series of a folder would be measured, and why.

    The ranking with the points of each series, and a reason for each one left out. Nothing is measured. Exit code 1
    where no series can be.
    """
    settings_ = settings_in_force()
    ranking = rank_folder(folder, settings_)
    dry_run.show(console, ranking, selection.load(settings_.series_rules).weights)
    raise typer.Exit(FAILED if ranking.refusal else OK)


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.", **NEW_FOLDER | {"metavar": "OUT"})],
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Another abdomen than the standard one.", show_default=False)
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Where to write the truth, in place of OUT/truth.json.", **NEW_FILE)
    ] = None,
    awkward: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="An awkward study in its place, as `tilt` or `gap`; `--awkward list` lists the kinds.",
            show_default=False,
        ),
    ] = "",
    before_resection: Annotated[
        bool,
        typer.Option("--before-resection", help="With headers that say so: a signature of such patients scores it."),
    ] = False,
) -> None:
    """Write the synthetic abdomen and its truth.

    OUT/ct/ is a CT series, OUT/seg.dcm its exact segmentation, OUT/truth.json its exact numbers under the ids of
    result.json. What comes late in an awkward study is in OUT/later/.
    """
    from node.phantom import write_phantom

    if awkward:
        if seed is not None or truth is not None or before_resection:
            raise WrongUse("--awkward goes with none of --seed, --truth and --before-resection")
        _awkward(out, awkward)
        return
    try:
        files = write_phantom(out, seed=seed, truth_file=truth, planned=before_resection)
    except FileExistsError as error:
        raise WrongUse(str(error)) from error
    say(f"{len(files.ct)} slices in {out / 'ct'}, truth as SEG in {files.seg}, numbers in {files.truth_file}")


def _awkward(out: Path, name: str) -> None:
    from node.phantom.awkward import Kind, write_awkward

    kinds = {kind.value: kind for kind in Kind}
    if name == "list":
        for kind in Kind:
            say(f"{kind:<20} {kind.what}")
        return
    if name not in kinds:
        raise WrongUse(f"{name} is no kind of awkward study; `--awkward list` lists them")
    try:
        made = write_awkward(out, kinds[name])
    except FileExistsError as error:
        raise WrongUse(str(error)) from error
    later = f", {len(made.later)} for later in {out / 'later'}" if made.later else ""
    say(f"{len(made.first)} instances in {out / 'ct'}{later}, truth as SEG in {made.seg}")


@app.command()
def status(
    study: Annotated[
        str | None, typer.Argument(metavar="STUDY", help="Study Instance UID, or how it begins.", show_default=False)
    ] = None,
) -> None:
    """Show studies, or all that happened to one.

    Exit code 1 where the study is not known, or where its job or the delivery of one of its objects has failed.
    """
    config = settings_in_force()
    ledger = ledger_of(config)
    overview.paused(console, ledger)
    overview.unusable_form(console, config.patient_facts)
    if screens.status(console, ledger, study or ""):
        raise typer.Exit(FAILED if study and operations.has_failed(ledger, study) else OK)
    if study:
        raise typer.Exit(tell(f"no study {study} is known here", FAILED))
    say("No study has come yet.")


def _peer(to: str, calling: str) -> Peer:
    ae_title, _, address = to.partition("@")
    host, _, port = address.rpartition(":")
    if not (ae_title and host and port.isdecimal() and 0 < int(port) < 65536):
        raise WrongUse(f"--to is AET@HOST:PORT, not {to}")
    for name in (ae_title, calling):
        if not 0 < len(name.strip()) <= 16 or not name.isascii() or not name.isprintable() or "\\" in name:
            raise WrongUse(f"an AE title has 1 to 16 characters of ASCII without a backslash, unlike {name}")
    return Peer(ae_title, host, int(port), calling)
