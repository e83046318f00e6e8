"""Studies that arrive or are encoded awkwardly: late, twice, or in any transfer syntax.

Beside the ten stages. In: a `Bench`. Out: `AwkwardStudy` whose `later` says what comes when the first part was taken
as complete. Next: the node; `crlm-node send` sends a folder, OUT/ct first, OUT/later when that was taken as complete.
"""

import shutil

from pydicom.dataset import Dataset

from node.phantom.awkward.study import AwkwardStudy, Bench
from node.phantom.awkward.syntaxes import encode

LATE_FROM = 0.6
"""Share of the slices, from below, that come in time."""


def late_slices(bench: Bench) -> AwkwardStudy:
    """Put the upper part into OUT/later."""
    picture = bench.picture()
    slices = bench.series(picture)
    made = bench.finished(picture, slices)
    kept = round(LATE_FROM * len(slices))
    later = bench.out / "later"
    later.mkdir()
    moved = tuple(path.rename(later / path.name) for path in slices[kept:])
    return AwkwardStudy(made.kind, tuple(slices[:kept]), moved, made.seg, made.truth, made.rendering)


def resent_slices(bench: Bench) -> AwkwardStudy:
    """Put a copy of every slice into OUT/later."""
    picture = bench.picture()
    slices = bench.series(picture)
    later = bench.out / "later"
    later.mkdir()
    again = [shutil.copyfile(path, later / path.name) for path in slices]
    return bench.finished(picture, slices, later=again)


def encoded(bench: Bench) -> AwkwardStudy:
    """Write every slice in the transfer syntax of the kind."""
    syntax = bench.kind.syntax
    if syntax is None:
        raise ValueError(f"{bench.kind} is no transfer syntax")

    def edit(ds: Dataset, index: int) -> None:
        del index
        encode(ds, syntax)

    picture = bench.picture()
    return bench.finished(picture, bench.series(picture, edit=edit))
