"""What torch sees of this machine: its version, the CUDA that it was built for, each GPU, and whether it computes.

`main` prints it as one line of JSON, in a process of its own: `workers.checks` reads it for `crlm-node doctor`.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Print it."""
    sys.stdout.write(f"{json.dumps(seen())}\n")


def seen() -> dict[str, Any]:
    """Return it; `fault` of a GPU is empty where a number could be put on it and taken back."""
    import torch

    gpus = []
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        gpus.append({"name": facts.name, "memory_gb": facts.total_memory / 1e9, "fault": _fault(number)})
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus}


def _fault(number: int) -> str:
    import torch

    try:
        torch.ones(1, device=f"cuda:{number}").item()
    except (AssertionError, RuntimeError) as error:
        return str(error).partition("\n")[0]
    return ""
