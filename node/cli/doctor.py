"""The command that looks at the whole chain, and says the cure of what is not well."""

from contextlib import nullcontext
from typing import Annotated

import typer

from node.cli.application import FAILED, OK, WrongUse, app, config_option, out
from node.core import log
from node.core.findings import Finding, Level, Part


@app.command()
def doctor(
    orthanc: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="REST interface of an Orthanc, asked what it knows of us; by default that of DICOMweb destinations.",
            show_default=False,
        ),
    ] = "",
    phantom: Annotated[
        bool,
        typer.Option(
            "--phantom", help="Store a synthetic study at each PACS, query it, and delete it where that can be done."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for monitoring.")] = False,
) -> None:
    """Look at everything that a study needs, and say the cure of what is not well.

    Settings, disk, ledger, Redis, clocks, processes, weights and GPU, each PACS. Nothing is changed, and nothing is
    sent without --phantom. Exit code 1 where a fault is found; warnings and notes are none.
    """
    from node.doctor import chart, examine  # here: no other command has need of what it imports

    if orthanc and not orthanc.startswith(("http://", "https://")):
        raise WrongUse(f"--orthanc is an URL as http://HOST:8042, not {orthanc}")
    log.configure("error", "console")  # what the modules would say of it, the findings say
    found: list[tuple[Part, Finding]] = []
    waiting = out.status("looks at the settings") if out.is_terminal and not as_json else nullcontext()
    with waiting as spinner:

        def begin(part: Part) -> None:
            if spinner is not None:
                spinner.update(f"looks at the {part}")

        for part, finding in examine(config_option(), orthanc=orthanc, phantom=phantom, on_part=begin):
            if not as_json:
                if not found or found[-1][0] is not part:
                    chart.heading(out, part)
                chart.line(out, finding)
            found.append((part, finding))
    if as_json:
        typer.echo(chart.as_json(found))
    else:
        chart.summary(out, [finding for _, finding in found])
    raise typer.Exit(FAILED if any(finding.level is Level.FAULT for _, finding in found) else OK)
