from dataclasses import replace

import numpy as np
import pytest
from made_cohort import made

from workers.training.signature import nested
from workers.training.signature.candidates import METHODS
from workers.training.signature.concordance import harrell
from workers.training.signature.cox import Risk
from workers.training.signature.filters import Rules, choose
from workers.training.signature.nested import Outer, outer_pairs, permuted, validate
from workers.training.signature.procedure import Fitted, Plan, fit

FAST = Plan(folds=4, repeats=1, inner=2, steps=4, methods=("lasso",))
EVERY = Plan(repeats=1, inner=2, steps=6)
PLANTED = {2: 0.9, 11: -0.8, 23: 0.7}


def numbers(fitted: Fitted) -> list[bytes]:
    """All that a training found, bit for bit."""
    arrays = (fitted.places, fitted.mean, fitted.sd, fitted.coefficients, np.array([fitted.cut_off, fitted.step]))
    return [one.tobytes() for one in arrays] + [fitted.method.encode()]


def test_a_follow_up_dealt_at_random_is_not_foretold() -> None:
    """200 shuffles of a cohort whose features do say something: the mean outer C-index is 0.50 within 0.02.

    A choice that had seen the patients it is judged on would lift the mean: see the next test.
    """
    values, time, event = made(110, 25, PLANTED, 5)
    found = permuted(values, time, event, replace(FAST, folds=3, steps=3, shuffles=200), np.random.SeedSequence(9))
    assert found.mean() == pytest.approx(0.5, abs=0.02)
    assert found.std() > 0.01


def test_a_choice_that_saw_everybody_would_be_noticed() -> None:
    """The same procedure judged on its own training patients is far above 0.50 on shuffled follow-up."""
    values, time, event = made(110, 40, {}, 5)
    order = np.random.default_rng(0).permutation(110)
    fitted = fit(values, time[order], event[order], FAST, np.random.SeedSequence(1))
    assert harrell(fitted.score(values), time[order], event[order]) > 0.55


def test_a_planted_signal_is_recovered() -> None:
    """Every fold takes the three columns that the follow-up was made from, with their signs, and the outer C-index
    comes near to that of the true risk.
    """
    values, time, event = made(260, 40, PLANTED, 6)
    outer = validate(values, time, event, EVERY, np.random.SeedSequence(2))
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    truth = sum(size * scaled[:, place] for place, size in PLANTED.items())
    for fitted in outer.fits[0]:
        weights = dict(zip(fitted.places.tolist(), fitted.coefficients.tolist(), strict=True))
        assert PLANTED.keys() <= weights.keys()
        assert all(np.sign(weights[place]) == np.sign(size) for place, size in PLANTED.items())
        assert len(weights) <= EVERY.most
    assert outer_pairs(outer, time, event).value > harrell(truth, time, event) - 0.03


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_method_finds_the_planted_signal(method: str) -> None:
    """Alone, too: the columns are among those that it takes."""
    values, time, event = made(260, 40, PLANTED, 7)
    fitted = fit(values, time, event, replace(FAST, methods=(method,)), np.random.SeedSequence(3))
    assert PLANTED.keys() <= set(fitted.places.tolist())
    assert fitted.method == method
    assert len(fitted.places) <= FAST.most


def test_what_is_held_out_leaves_the_training_untouched() -> None:
    """Features, times and events of one held-out fold are spoilt: what that fold's training found is the same bit for
    bit, and the training of every other fold, which did see them, is not.
    """
    values, time, event = made(120, 25, PLANTED, 8)
    seed = np.random.SeedSequence(4)
    small = replace(EVERY, folds=3)
    plain = validate(values, time, event, small, seed)
    held = plain.fold[0] == 1
    draw = np.random.default_rng(0)
    values[held] = values[held] * draw.uniform(0.5, 2, values.shape[1])
    time[held] = draw.permutation(time[held]) * 7 + 1
    spoilt = validate(values, time, event, small, np.random.SeedSequence(4))
    assert np.array_equal(plain.fold, spoilt.fold)
    same = [numbers(before) == numbers(after) for before, after in zip(plain.fits[0], spoilt.fits[0], strict=True)]
    assert same == [False, True, False]
    assert not np.array_equal(plain.score[0, held], spoilt.score[0, held])


def test_a_seed_gives_the_same_numbers_again() -> None:
    """Twice the same, bit for bit; another seed deals other folds."""
    values, time, event = made(90, 25, PLANTED, 9)
    small = replace(EVERY, folds=2)
    one, two, other = (validate(values, time, event, small, np.random.SeedSequence(seed)) for seed in (1, 1, 2))
    assert [numbers(fitted) for fitted in one.fits[0]] == [numbers(fitted) for fitted in two.fits[0]]
    assert np.array_equal(one.score, two.score)
    assert not np.array_equal(one.fold, other.fold)


def test_the_cut_off_is_the_median_of_the_training_scores() -> None:
    """Half of the training patients lie above it."""
    values, time, event = made(111, 25, PLANTED, 10)
    fitted = fit(values, time, event, FAST, np.random.SeedSequence(1))
    assert fitted.cut_off == np.median(fitted.score(values))
    by_hand = ((values[:, fitted.places] - fitted.mean) / fitted.sd * fitted.coefficients).sum(axis=1)
    assert fitted.score(values) == pytest.approx(by_hand)


def test_filters_drop_the_constant_and_the_copy() -> None:
    """Of a column and its copy with other units one stays; a column with one value for nearly all goes."""
    values, time, event = made(100, 10, {0: 1.0}, 11)
    values = np.column_stack([values, values[:, 0] * 1e6 + 3, np.where(np.arange(100) < 96, 4.0, 9.0), np.ones(100)])
    kept = choose(values, Risk.of(time, event), Rules(p=1.0))
    assert len({0, 10} & set(kept.places.tolist())) == 1
    assert not {11, 12} & set(kept.places.tolist())
    assert len(kept.places) == 10
    assert kept.standardised(values).std(axis=0) == pytest.approx(1)


def test_pairs_of_two_folds_are_not_compared() -> None:
    """A score that is worse in one fold as a whole, and right within each, has a C-index of 1."""
    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4, dtype=bool)
    fold = np.array([[0, 1, 0, 1]])
    outer = Outer(fold, np.array([[2.0, 20.0, 1.0, 10.0]]), np.zeros((1, 4), dtype=bool), ((),), {}, ((),))
    assert outer_pairs(outer, time, event).value == 1.0
    assert harrell(outer.score[0], time, event) < 1.0
    assert nested.fixed_pairs(np.array([2.0, np.nan, 1.0, 5.0]), outer, time, event).counted.sum() == 1
