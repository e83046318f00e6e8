from collections.abc import Callable

import numpy as np
import pytest
from made_cohort import made

from workers.training.signature.concordance import each, harrell, pairs
from workers.training.signature.cox import Risk, joint, path, univariate


@pytest.fixture
def scaled() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A standardised cohort with tied times."""
    values, time, event = made(120, 12, {0: 0.8, 7: -0.5}, 3)
    return (values - values.mean(axis=0)) / values.std(axis=0), np.ceil(time / 4), event


def test_coefficients_are_those_of_scikit_survival(
    scaled: tuple[np.ndarray, np.ndarray, np.ndarray], lacking: Callable[[str], None]
) -> None:
    """Univariate, joint and penalised fits agree with the library's, ties included."""
    try:
        from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
        from sksurv.metrics import concordance_index_censored
    except ImportError:
        lacking("scikit-survival")
    values, time, event = scaled
    outcome = np.array(list(zip(event, time, strict=True)), dtype=[("event", bool), ("time", float)])
    risk = Risk.of(time, event)
    alone = [CoxPHSurvivalAnalysis().fit(values[:, [place]], outcome).coef_[0] for place in range(12)]
    assert univariate(values, risk).coefficient == pytest.approx(alone, abs=1e-6)
    assert joint(values, risk, 1e-12)[0] == pytest.approx(CoxPHSurvivalAnalysis().fit(values, outcome).coef_, abs=1e-6)
    slopes = np.abs(risk.derivatives(values[risk.order], np.zeros(12))[0]) / len(time)
    fractions = np.geomspace(0.8, 0.05, 6)
    for ratio in (1.0, 0.5):
        penalties = slopes.max() / ratio * fractions
        theirs = CoxnetSurvivalAnalysis(alphas=penalties, l1_ratio=ratio, tol=1e-12, max_iter=10**6)
        ours = path(values, risk, fractions, ratio, 12)
        assert ours == pytest.approx(theirs.fit(values, outcome).coef_.T, abs=1e-4)
    score = np.round(values[:, 0], 1)
    assert harrell(score, time, event) == concordance_index_censored(event, time, score)[0]


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_a_penalised_fit_fulfils_the_conditions_of_its_minimum(
    scaled: tuple[np.ndarray, np.ndarray, np.ndarray], ratio: float
) -> None:
    """The slope of the likelihood equals the penalty's where a coefficient is not zero, and is smaller where it is."""
    values, time, event = scaled
    risk = Risk.of(time, event)
    ordered, fractions = values[risk.order], np.geomspace(0.9, 0.05, 8)
    top = np.abs(risk.derivatives(ordered, np.zeros(12))[0]).max() / len(time) / ratio
    rows = path(values, risk, fractions, ratio, 12)
    assert np.count_nonzero(rows[0]) < np.count_nonzero(rows[-1])
    for row, fraction in zip(rows, fractions, strict=True):
        slope = risk.derivatives(ordered, row)[0] / len(time) - top * fraction * (1 - ratio) * row
        used = row != 0
        assert slope[used] == pytest.approx(top * fraction * ratio * np.sign(row[used]), abs=1e-7)
        assert (np.abs(slope[~used]) <= top * fraction * ratio + 1e-7).all()


def test_a_path_stops_at_the_most_features(scaled: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """No row has more than was allowed, and the last ones repeat."""
    values, time, event = scaled
    rows = path(values, Risk.of(time, event), np.geomspace(0.9, 0.01, 12), 1.0, 3)
    assert np.count_nonzero(rows, axis=1).max() == 3
    assert np.array_equal(rows[-1], rows[-2])


def test_residuals_are_the_slope_of_the_likelihood(scaled: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Features times martingale residuals give the gradient, and both are the sum over risk sets, with tied times."""
    values, time, event = scaled
    risk = Risk.of(time, event)
    ordered, coefficients = values[risk.order], np.linspace(-0.3, 0.3, 12)
    gradient = risk.derivatives(ordered, coefficients)[0]
    assert ordered.T @ risk.residuals(ordered @ coefficients) == pytest.approx(gradient, abs=1e-9)
    weight = np.exp(values @ coefficients)
    by_hand = np.zeros(12)
    for place in np.flatnonzero(event):
        there = time >= time[place]
        by_hand += values[place] - weight[there] @ values[there] / weight[there].sum()
    assert gradient == pytest.approx(by_hand, abs=1e-9)


def test_the_concordance_counts_each_comparable_pair() -> None:
    """By hand: of four patients four pairs can be compared, of which one is a tie."""
    time, event = np.array([1.0, 2.0, 3.0, 3.0]), np.array([True, False, True, False])
    score = np.array([4.0, 1.0, 2.0, 2.0])
    # (0,1) (0,2) (0,3) speak for it; (2,3) at the same time counts, and is a tie; (1, .) was censored
    assert harrell(score, time, event) == pytest.approx(3.5 / 4)
    won, counted = each(np.stack([score, -score], axis=1), time, event)
    assert (won.tolist(), counted) == ([3.5, 0.5], 4.0)
    apart = pairs(score, time, event, np.array([0, 0, 1, 1]))
    assert apart.value == pytest.approx(1.5 / 2)
