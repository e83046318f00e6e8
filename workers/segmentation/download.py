"""Weights of TotalSegmentator fetched on a connected machine, by the library's own downloader.

In: the folder of the weights. Out: the missing data sets, each moved in whole, and the manifest completed. What can go
wrong: `weights-missing` where a download fails. Next: `weights` proves them, here or where the folder is carried to.
"""

import shutil
import tempfile
from pathlib import Path

from node.core.errors import NotAnalysable
from node.core.reasons import StudyRefusal
from workers.segmentation.data_sets import DataSet, Psoas, required
from workers.segmentation.weights import Installed, complete, inventory, keep_quiet, write_manifest


def fetch(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> tuple[Installed, ...]:
    """Download what is missing with the library's own downloader, then complete the manifest.

    A data set comes into a folder beside the others and is moved in when it is whole. What the manifest already
    lists keeps its entry: a file that changed since is never blessed anew.

    Raises
    ------
    NotAnalysable
        `weights-missing`: a download failed, or a folder of that name is there and incomplete.
    """
    wanted = required(psoas, fast=fast)
    weights_dir.mkdir(parents=True, exist_ok=True)
    for one in wanted:
        if not complete(weights_dir, one):
            _download(weights_dir, one)
    write_manifest(weights_dir, wanted)
    return inventory(weights_dir, psoas, fast=fast)


def _download(weights_dir: Path, one: DataSet) -> None:
    """Bring one data set by the library's own downloader, into a folder beside, then in one move."""
    if (weights_dir / one.folder).exists():
        detail = f"{one.folder} is there and incomplete: remove it, then fetch again"
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, detail)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=weights_dir) as beside:
        keep_quiet(Path(beside) / "home", Path(beside) / "weights")
        from totalsegmentator.libs import download_pretrained_weights

        try:
            download_pretrained_weights(one.number)
        except (OSError, shutil.Error, ValueError, RuntimeError) as error:  # requests' errors are OSError
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{one.folder}: {type(error).__name__}") from error
        came = Path(beside) / "weights"
        if not complete(came, one):
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{one.folder}: the download is not laid out as expected")
        (came / one.folder).rename(weights_dir / one.folder)
