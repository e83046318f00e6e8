"""The checks of the workers in `crlm-node doctor`: weights, and the device as torch sees it.

They join by the entry-point group `crlm_node.checks`. Comes in: the settings. Goes out: findings. torch is asked in a
process of its own, as the engine is one: what it loads, and how it may end, is not ours.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from node.core.ailments import Ailment
from node.core.errors import NotAnalysable, Untrusted
from node.core.findings import Finding, fault, fine, note
from node.core.settings import Settings
from workers.cli import NETWORK_LIBRARIES
from workers.segmentation import weights
from workers.segmentation.demo import folder as demo_folder

_TORCH_S = 120.0
_ASK_TORCH = "from workers.segmentation.device import main; main()"


def of_weights(settings: Settings) -> Iterator[Finding]:
    """Hash the weights that the settings ask for, and the demonstration model."""
    if not settings.networks:
        yield note("networks.weights", "networks = false: only segmentations that come with a study are measured.")
        return
    psoas, fast = settings.measurement.psoas, settings.measurement.segmentation_resolution == "3mm"
    try:
        weights.verify(settings.weights, psoas, fast=fast)
    except NotAnalysable as error:
        words = f"The weights of TotalSegmentator are not all in {settings.weights}: {error.detail.partition(';')[0]}."
        yield fault("networks.weights", Ailment.WEIGHTS_MISSING, words, path=settings.weights)
    except Untrusted as error:
        words = f"The weights in {settings.weights} are not those that were fetched: {error.detail}."
        yield fault("networks.weights", Ailment.WEIGHTS_CHANGED, words)
    else:
        name = weights.digest(settings.weights, psoas, fast=fast)[:12]
        yield fine("networks.weights", f"Every file of the weights is what its manifest says (weights {name}).")
    try:
        name = demo_folder.proven(settings.models / "demo")[:12]
    except (NotAnalysable, Untrusted) as error:
        yield note("networks.demo", f"The demonstration model is not used: {error.detail}.")
    else:
        yield fine("networks.demo", f"The demonstration model is what its manifest says (manifest {name}).")


def of_device(settings: Settings) -> Iterator[Finding]:
    """Say what torch sees, and whether that is what the settings ask for."""
    if not settings.networks:
        return
    if missing := [library for library in NETWORK_LIBRARIES if find_spec(library) is None]:
        words = f"networks = true, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed here."
        yield fault("networks.device", Ailment.LIBRARIES_MISSING, words)
        return
    yield judged(settings.device, _seen())


def judged(device: str, seen: dict[str, Any]) -> Finding:
    """Return what the devices that torch sees mean for the one that is set.

    Parameters
    ----------
    device
        `cpu`, `gpu`, `gpu:1`.
    seen
        What `workers.segmentation.device` prints, or `error`.
    """
    if error := seen.get("error"):
        return fault("networks.device", Ailment.TORCH_BROKEN, f"torch cannot be used: {error}")
    version, gpus = f"torch {seen['torch']}", seen["gpus"]
    names = ", ".join(f"{one['name']} ({one['memory_gb']:.0f} GB)" for one in gpus)
    if device == "cpu":
        if gpus:
            words = f"{version} sees {names}, and device = cpu."
            return note("networks.device", words, ailment=Ailment.GPU_UNUSED)
        return fine("networks.device", f"{version} is there; networks run on the CPU, as device says.")
    number = int(device.partition(":")[2] or 0)
    if number < len(gpus) and not gpus[number]["fault"]:
        return fine("networks.device", f"{version} computes on {device}: {gpus[number]['name']}.")
    if seen["cuda"] is None:
        words = f"device = {device}, and {version} is a build without CUDA."
        return fault("networks.device", Ailment.TORCH_WITHOUT_GPU, words)
    if number < len(gpus):
        words = f"{version} sees {gpus[number]['name']} and cannot compute on it: {gpus[number]['fault']}"
    else:
        words = f"device = {device}, and {version} (CUDA {seen['cuda']}) sees {names or 'no GPU'}."
    return fault("networks.device", Ailment.GPU_UNSEEN, words)


def _seen() -> dict[str, Any]:
    """Ask torch in a process of its own."""
    command = [sys.executable, "-P", "-c", _ASK_TORCH]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TORCH_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return {"error": f"it did not answer within {_TORCH_S:g} s."}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"its process ended with {done.returncode}."}
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen
