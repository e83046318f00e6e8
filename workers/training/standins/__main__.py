"""Write stand-in weights: `python -m workers.training.standins DIR [--kind random|banded|knowing]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from workers.segmentation import data_sets
from workers.training.standins.banded import write_banded
from workers.training.standins.knowing import write_knowing
from workers.training.standins.noisy import write_random


def main() -> None:
    """Write stand-in weights as the arguments say."""
    parser = argparse.ArgumentParser(description="Write stand-in weights in the layout that TotalSegmentator loads.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=("random", "banded", "knowing"), default="random")
    parser.add_argument("--seed", type=int, default=0, help="of the random networks")
    parser.add_argument("--model", type=Path, help="folder of the demonstration model, for the knowing networks")
    arguments = parser.parse_args()
    if arguments.kind == "random":
        write_random(arguments.folder, data_sets.all_parts(), arguments.seed)
    elif arguments.kind == "banded":
        write_banded(arguments.folder, data_sets.all_parts())
    elif arguments.model:
        write_knowing(arguments.folder, data_sets.all_parts(), arguments.model)
    else:
        parser.error("knowing networks need --model")


if __name__ == "__main__":
    main()
