"""Results that every judge and rule is put to: of a phantom, a real CT, a refused study, multi-frame images."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from studies import Study

MEASURED = ("coarse_phantom", "abdomen")
ALL = (*MEASURED, "refused_phantom", "enhanced_phantom")


@pytest.fixture(params=MEASURED)
def measured(request: pytest.FixtureRequest) -> "Study":
    """A study that was measured: the coarse phantom, then the real abdomen."""
    study: Study = request.getfixturevalue(request.param)
    return study


@pytest.fixture(params=ALL)
def any_study(request: pytest.FixtureRequest) -> "Study":
    """The measured studies, one that was refused, and one of multi-frame images."""
    study: Study = request.getfixturevalue(request.param)
    return study


@pytest.fixture
def objects(any_study: "Study") -> list[str]:
    """Names of the DICOM files of a study."""
    return [product.file for product in any_study.outcome.products]


@pytest.fixture(scope="session")
def program(lacking: Callable[[str], None]) -> Callable[[str], str]:
    """Return a function that finds a program, or skips the test where it is not installed."""
    import shutil
    import sys
    from pathlib import Path

    def find(name: str) -> str:
        beside = Path(sys.executable).with_name(name)
        found = str(beside) if beside.exists() else shutil.which(name)
        if found is None:
            lacking(name)
        return str(found)

    return find
