"""The commands on objects of results: what one says, and whether it keeps to the rules."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from node.cli.application import FAILED, FILE, OK, WrongUse, group, out, tell
from node.review import pages, screen
from node.review.objects import class_name, kind_of
from node.review.reading import read, text
from node.review.rules import RULES
from node.review.subject import NothingBeside, subjects
from node.review.verdict import State, judge

report_app = group("report", "Look at the objects of a result: show what one says, check it against the rules.")


@report_app.command("show")
def report_show(
    file: Annotated[Path, typer.Argument(help="An SR, SEG, Summary or key object document.", **FILE)],
    identity: Annotated[
        bool, typer.Option("--identity", help="Show who the patient is, and names of persons, too.")
    ] = False,
) -> None:
    """Print an SR of any writer as a tree, a SEG as a table of its segments.

    Numbers stand as they are written. Names and the patient ID are withheld. Exit code 1 where the file is of another
    kind.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that are not as they should be: they show the values
        if pages.show(out, file, identity=identity):
            return
        what = class_name(text(read(file), "SOPClassUID"))
    raise typer.Exit(tell(f"{file} is no object of a result, but a {what}", FAILED))


@report_app.command("check")
def report_check(
    files: Annotated[list[Path], typer.Argument(help="Objects of one result, or one of them.", **FILE)],
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="DIR|FILE",
            exists=True,
            help="The CT or the SEG that they are of, repeatable: more rules apply.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Put objects to every rule for results, each told as ok, broken or not applicable.

    Exit code 1 where one is broken.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            given = subjects(files, beside or ())
        except NothingBeside as error:
            raise WrongUse(str(error)) from error
        if strange := [one for one in given if kind_of(one.ds) not in RULES]:
            what = class_name(text(strange[0].ds, "SOPClassUID"))
            raise typer.Exit(tell(f"{strange[0].path} is no object of a result, but a {what}", FAILED))
        verdicts = {one.path: judge(one, RULES[one.kind]) for one in given}
    for one in given:
        screen.verdicts(out, one, verdicts[one.path])
    every = [verdict for told in verdicts.values() for verdict in told]
    screen.end(out, every)
    raise typer.Exit(FAILED if any(one.state is State.BROKEN for one in every) else OK)
