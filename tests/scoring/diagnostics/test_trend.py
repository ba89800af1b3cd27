"""The per-choice forecast: what samples lend each other, and whether its intervals cover."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from benchmarks import forecast_coverage
from benchmarks.forecast_coverage import Case
from scoring.diagnostics import borrowing, chain, trend
from tests.scoring.diagnostics.families import block
from tests.scoring.diagnostics.families import trend as family


def told(loglik, gold, present=None):
    """The last model as forecast from the others, and the block."""
    made = block(loglik, gold, present=present)
    x = np.log10(made.compute)
    lines = trend.fit(x[:-1], made.loglik[:, :-1], made.present, made.gold)
    return trend.predict(lines, float(x[-1])), made


def by_integral(mu, sd, sd_other):
    """Of the first choice, by integral over its own error."""
    found, _ = integrate.quad(
        lambda z: (
            stats.norm.pdf(z)
            * np.prod([stats.norm.cdf((mu[0] + sd * z - m) / sd_other) for m in mu[1:]])
        ),
        -8, 8,
    )  # fmt: skip
    return found


def test_the_chance_of_a_hit_against_the_integral():
    centre = np.array([[0.5], [0.0], [-1.0]])
    for sd, sd_other in ((1.0, 1.0), (0.5, 1.5), (1.5, 1.0), (2.0, 0.4), (2.0, 0.2)):
        got = trend.hit_probability(centre, np.array([0]), np.array([sd]), np.array([sd_other]))
        assert got[0] == pytest.approx(by_integral(centre[:, 0], sd, sd_other), abs=1e-3)
    # Two choices: Phi(difference / (sd sqrt 2)).
    got = trend.hit_probability(centre[:2], np.array([0]), np.array([0.4]), np.array([0.4]))
    assert got[0] == pytest.approx(stats.norm.cdf(0.5 / (0.4 * math.sqrt(2))), abs=1e-3)


@pytest.mark.parametrize("samples", [1, 2, 60])
@pytest.mark.parametrize("choices", [2, 3, 5])
def test_lines_without_noise_are_extrapolated_exactly(samples, choices):
    found, made = told(
        *family(models=5, samples=samples, choices=choices, slope=1.0, edge=3.0, noise=0.0)
    )
    hits = chain.accuracy(made.loglik, made.gold)[-1]
    p = chain.p_choices_correct(made.loglik, made.gold)[-1]
    assert found.hit == pytest.approx(hits, abs=1e-6)
    assert found.p_choices == pytest.approx(p, abs=1e-6)
    assert found.accuracy_interval == pytest.approx([hits.mean()] * 2, abs=1e-6)
    assert found.p_choices_interval == pytest.approx([p.mean()] * 2, abs=1e-6)


def test_what_the_choices_of_a_sample_share_changes_no_forecast():
    loglik, gold = family(models=6, samples=50, slope=1.0, noise=1.0)
    rng = np.random.default_rng(1)
    found, _ = told(loglik, gold)
    moved, _ = told(loglik + rng.normal(0, 5, (6, 50, 1)), gold)
    assert moved.hit == pytest.approx(found.hit)
    assert moved.accuracy_interval == pytest.approx(found.accuracy_interval)
    assert moved.p_choices_interval == pytest.approx(found.p_choices_interval)
    turned, _ = told(loglik[:, :, [2, 3, 0, 1]], (gold + 2) % 4)
    assert turned.hit == pytest.approx(found.hit)
    # A choice that is not there is as good as none.
    wide = np.concatenate([loglik, np.full((6, 50, 1), -math.inf)], axis=2)
    present = np.ones((50, 5), bool)
    present[:, 4] = False
    padded, _ = told(wide, gold, present)
    assert padded.hit == pytest.approx(found.hit)


def test_a_line_in_units_of_its_errors_by_hand():
    # Through (0, 1), (1, 2), (2, 6): mean 3, slope (6 - 1) / 2 = 2.5, so 3 + 2.5 * 2 = 8 at 3.
    design = borrowing.Design(np.array([0.0, 1.0, 2.0]))
    h = design.at(3.0)
    assert h @ design.whitened @ [1, 2, 6] == pytest.approx(8)
    assert h @ h == pytest.approx(1 / 3 + 2**2 / 2)  # 1 / n + (x - mean)^2 / S_xx
    assert design.whitened @ design.whitened.T == pytest.approx(np.eye(2))


def test_lines_borrow_by_hand():
    # Levels vary by 9 and slopes by 1, of which their errors make 1: so 8 and 0 are the lines'.
    # A level is moved to the mean, 0, by 1 / (8 + 1), and 8 / 9 of it is not known; all slopes
    # are 0 and known.
    estimate = np.array([[3.0, -3, 3, -3], [1.0, 1, -1, -1]])
    lines = borrowing.borrowed(estimate, np.ones(4), np.zeros(2), np.ones(4))
    centre, variance = lines.at(np.array([1.0, 2.0]))
    assert centre == pytest.approx(np.array([1, -1, 1, -1]) * 8 / 3)
    assert variance == pytest.approx(8 / 9)
    # Where lines are much less alike than their errors are large, each stands alone: least squares.
    lines = borrowing.borrowed(estimate * 1e4, np.ones(4), np.zeros(2), np.ones(4))
    centre, variance = lines.at(np.array([1.0, 2.0]))
    assert centre == pytest.approx(1e4 * (estimate[0] + 2 * estimate[1]))
    assert variance == pytest.approx(1 + 2**2)


def test_variances_are_shrunk_as_far_as_they_are_alike():
    rng = np.random.default_rng(0)
    free = np.full(4000, 4.0)
    alike = rng.chisquare(4, 4000) / 4 * 2.0
    moved, prior = borrowing.shrunk(alike, free)
    assert moved.std() < 0.1 * alike.std()
    assert prior > 100
    true = 5 / rng.chisquare(5, 4000)  # scaled inverse chi-square: d0 = 5, s0 = 1
    moved, prior = borrowing.shrunk(true * rng.chisquare(4, 4000) / 4, free)
    assert prior == pytest.approx(5, rel=0.2)


def test_own_errors_of_both_sides_are_told_apart():
    """The correct choice errs with sd 2, the others with 1: the lead with 4 + 1 / 3."""
    rng = np.random.default_rng(0)
    gold = rng.integers(4, size=4000)
    correct = np.arange(4)[:, None, None] == gold
    shared = 3.0 * correct * rng.normal(size=(1, 7, 1))  # it is no error of their own
    loglik = rng.normal(size=(4, 7, 4000)) * np.where(correct, 2, 1) + shared
    lines = trend.fit(np.arange(7.0), loglik, np.ones((4, 4000), bool), gold)
    assert lines.lead_variance.mean() == pytest.approx(4 + 1 / 3, rel=0.03)
    assert lines.apart_variance.mean() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize(
    "case",
    [Case(8, 2000, 4, 1.0, 0.0), Case(5, 2000, 4, 1.0, 0.05), Case(8, 150, 2, 2.0, 0.0)],
    ids=str,
)
def test_the_forecast_is_not_pulled_to_chance(case):
    done = forecast_coverage.tried(case, range(40))
    # Errors of a forecast have an sd below 0.01, 0.02 and 0.04, their mean of 40 one below 0.007.
    assert abs(done.bias) < 0.005 + 0.007 * (case.samples < 2000)
    assert abs(done.p_choices_bias) < 0.005 + 0.007 * (case.samples < 2000)
    assert done.coverage >= 0.85  # 95 % of 40 is 38, its sd 1.4
    assert done.p_choices_coverage >= 0.85


def test_a_miss_of_the_last_model_widens_the_intervals():
    """A few questions rise and most stand still, which lines that borrow do not know."""
    done = forecast_coverage.tried(forecast_coverage.UNEVEN, range(30))
    assert done.bias > 0.01  # it is the interval that is mended
    assert done.coverage >= 0.75  # it was 0.17


def test_a_miss_by_hand():
    told, hits = np.full(4, 0.5), np.array([1.0, 1.0, 1.0, 0.0])
    assert trend._miss(told, (0.4, 0.6), hits) == 0.25
    assert trend._miss(told, (0.4, 0.8), hits) == 0.0


@pytest.mark.slow
def test_the_intervals_of_the_forecast_cover():
    """Nominal are 95 %, of 60 families with an sd of 2.8 %."""
    cases = [case for case in forecast_coverage.GRID if case.noise == 1.0]
    done = [forecast_coverage.tried(case, range(60)) for case in cases]
    for covered in ([d.coverage for d in done], [d.p_choices_coverage for d in done]):
        assert min(covered) >= 0.85
        assert 0.93 <= np.mean(covered) <= 0.99
    settled = [
        d for d, case in zip(done, cases, strict=True)
        if case.samples == 2000 and case.shared < 0.3
    ]  # fmt: skip
    assert max(abs(d.bias) for d in settled) < 0.005
