"""Results that every judge and rule is put to: of a phantom, a real CT, a refused study, multi-frame images."""

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
