"""Programs that other people wrote, as the system has them."""

import os
import shutil
import sys
from pathlib import Path


def foreign(name: str) -> str | None:
    """Return where a program of the system lies; None where it is missing.

    One of that name in our own environment is none of theirs: pynetdicom brings a `storescu` and an `echoscu` too.
    """
    ours = Path(sys.executable).parent.resolve()
    folders = [one for one in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(one).resolve() != ours]
    return shutil.which(name, path=os.pathsep.join(folders))
