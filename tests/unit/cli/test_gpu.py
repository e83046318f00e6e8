"""One engine on each GPU: `crlm-node worker --gpu N`."""

from pathlib import Path

import pytest

from node.core.settings import Settings
from workers.cli import GpuTaken, own_gpu


def test_a_gpu_is_one_workers(tmp_path: Path) -> None:
    """A second worker of a home does not get the same GPU, under either of its names; another one it gets."""
    first, same, other = (Settings(home=tmp_path, device=device) for device in ("gpu", "gpu:0", "gpu:1"))
    with own_gpu(first), own_gpu(other), pytest.raises(GpuTaken, match="GPU 0"), own_gpu(same):
        pass
    with own_gpu(same):
        pass


def test_a_cpu_is_everybodys(tmp_path: Path) -> None:
    """Nothing is kept for workers on the CPU, nor for those that do not segment."""
    one = Settings(home=tmp_path)
    with own_gpu(one), own_gpu(one), own_gpu(None):
        assert list(tmp_path.iterdir()) == []
