"""Per-choice forecast: the log-likelihood of every choice is extrapolated, then the metric is made.

What Schaeffer et al. 2024, arXiv:2406.04391, section 7, leave open. Every choice has a line over
log10 C. What the choices of a sample share changes no order and cancels, so a sample is
described by its *lead*, the correct choice less the mean of the incorrect ones, and by the
incorrect ones *apart*, each less that mean. For incorrect choices that are exchangeable lead and
apart are independent, so their lines borrow from those of the other samples each by itself
(`borrowing`): estimates of lines are more dispersed than lines, and forecasts from them are too
near to chance.

Around the lines there is an error of each sample's own and one of the lead that all samples of a
model share, which is most of the interval's width. From 5 to 8 models a sample has 3 to 6
residuals a choice, too few for a covariance of its own: what can be known is one variance a sample
(shrunk) and, from all samples together, how much more or less of it the lead has than the apart.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from scoring.diagnostics import chain
from scoring.diagnostics.borrowing import Design, Lines, borrowed, shrunk
from scoring.diagnostics.curves import Z
from scoring.diagnostics.table import Booleans, Integers, evenly
from scoring.intervals import Floats

WIDEST = 6.0
"""Standard deviations of the correct choice's own error that are integrated over."""
STEP = 0.8
"""Distance of the integral's nodes, in standard deviations of the narrower of two errors."""
MOST_NODES = 200
SOME = 2_000
"""Evenly spaced samples that tell how far a shift of all moves their mean, and what was missed."""
DRAWS = 20_000
"""Antithetic pairs for the mean p_choices, over all samples; 4 to 64 a sample."""
SEED = 0
FEWEST_MODELS = 3


@dataclass(frozen=True)
class Trend:
    """Lines through the log-likelihoods of every choice.

    Attributes:
        design: log10 of compute of the models they go through.
        lead: Lines of the leads.
        apart: Lines of the incorrect choices around their mean; 0 for correct and absent ones.
        lead_variance: Of a lead's own error around its line, shape (samples,) [nats^2].
        apart_variance: Of an incorrect choice's own error, shape (samples,) [nats^2].
        mean_variance: Around its line of the lead's mean over samples [nats^2]: what all samples
            of a model share, and what their own errors leave in a mean.
        present: Which choices there are, shape (choices, samples).
        gold: The correct choice.
        missed: By how much a decade the last model's accuracy and mean p_choices were missed from
            the others, each 0 where it was within its interval.
    """

    design: Design
    lead: Lines
    apart: Lines
    lead_variance: Floats
    apart_variance: Floats
    mean_variance: float
    present: Booleans
    gold: Integers
    missed: tuple[float, float] = (0.0, 0.0)

    @property
    def free(self) -> int:
        """Degrees of freedom of each line."""
        return self.design.free


@dataclass(frozen=True)
class Predicted:
    """A forecast for one amount of compute, with 95 % intervals of means over samples.

    Attributes:
        hit: Probability that a sample is answered correctly, shape (samples,).
        p_choices: Expected p_choices of the correct choice, shape (samples,).
        accuracy_interval: Of the mean of `hit`: lower and upper end.
        p_choices_interval: Of the mean of `p_choices`.
    """

    hit: Floats
    p_choices: Floats
    accuracy_interval: tuple[float, float]
    p_choices_interval: tuple[float, float]


def usable(loglik: Floats, present: Booleans) -> Booleans:
    """Samples with a line for every choice: all finite, and at least two choices."""
    finite: Booleans = np.logical_and.reduce(np.isfinite(loglik) | ~present[:, None], axis=(0, 1))
    return finite & (present.sum(axis=0) > 1)


def fit(x: Floats, loglik: Floats, present: Booleans, gold: Integers) -> Trend:
    """Fits the lines, and tries them on the last model.

    Args:
        x: log10 of compute, growing, shape (models,), at least `FEWEST_MODELS` and not constant.
        loglik: Shape (choices, models, samples), of usable samples.
        present: Shape (choices, samples).
        gold: Shape (samples,).
    """
    lines = _fit(x, loglik, present, gold)
    if len(x) <= FEWEST_MODELS or np.ptp(x[:-1]) == 0:
        return lines
    some = evenly(len(gold), SOME)
    loglik, present, gold = loglik[:, :, some], present[:, some], gold[some]
    told = predict(_fit(x[:-1], loglik[:, :-1], present, gold), float(x[-1]))
    last = loglik[:, -1:]
    away = float(x[-1] - x[:-1].mean())
    return replace(
        lines,
        missed=(
            _miss(told.hit, told.accuracy_interval, chain.accuracy(last, gold)) / away,
            _miss(told.p_choices, told.p_choices_interval, chain.p_choices_correct(last, gold))
            / away,
        ),
    )


def _miss(told: Floats, interval: tuple[float, float], actual: Floats) -> float:
    """How far a forecast mean was from the actual one; 0 if that is in the interval."""
    truth = float(actual.mean())
    return 0.0 if interval[0] <= truth <= interval[1] else abs(float(told.mean()) - truth)


def _fit(x: Floats, loglik: Floats, present: Booleans, gold: Integers) -> Trend:
    design = Design(x)
    rivals = present.sum(axis=0) - 1
    incorrect = present & (np.arange(len(present))[:, None] != gold)
    middle = np.where(incorrect[:, None], loglik, 0.0).sum(axis=0) / rivals
    lead = chain.of_gold(loglik, gold) - middle
    apart = np.where(incorrect[:, None], loglik - middle, 0.0)
    lead_line, lead_left = _line(design, lead)
    apart_line, apart_left = _line(design, apart)
    mean_left = lead_left.mean(axis=1)
    if len(gold) > 1:  # of one sample nobody can say what it shares
        lead_left -= mean_left[:, None]
    of_lead, of_apart = _own(design, lead_left, apart_left, rivals)
    return Trend(
        design=design,
        lead=borrowed(
            lead_line, of_lead, lead_line.mean(axis=1), np.full(len(gold), 1 - 1 / len(gold))
        ),
        apart=borrowed(apart_line, of_apart, np.zeros(2), rivals - 1.0),
        lead_variance=of_lead,
        apart_variance=of_apart,
        mean_variance=float(mean_left @ mean_left) / design.free,
        present=present,
        gold=gold,
    )


def _line(design: Design, values: Floats) -> tuple[Floats, Floats]:
    """Whitened level and slope, shape (2, ..., samples), and residuals, of (..., models, samples).

    Least squares: the rows that whiten are orthonormal.
    """
    white = design.whitened
    found = np.einsum("tm,...ms->t...s", white, values)
    return found, values - np.einsum("tm,t...s->...ms", white, found)


def _own(design: Design, lead: Floats, apart: Floats, rivals: Integers) -> tuple[Floats, Floats]:
    """Variances of own errors of the lead and of an incorrect choice, shape (samples,) each.

    If all choices erred alike, with variance v, the lead's would be v (1 + 1 / rivals). By how
    much either is larger than that is taken from all samples together, v from each.

    Args:
        design: Of the lines.
        lead: Residuals without what samples share, shape (models, samples).
        apart: Residuals, shape (choices, models, samples).
        rivals: How many incorrect choices there are, shape (samples,).
    """
    more = 1 + 1 / rivals
    shared = 1 / len(rivals) if len(rivals) > 1 else 0.0
    squares = (lead**2).sum(axis=0) / more, (apart**2).sum(axis=(0, 1))
    free = design.free * (1 - shared) * np.ones(len(rivals)), design.free * (rivals - 1.0)
    pooled = [s.sum() / max(f.sum(), 1e-9) for s, f in zip(squares, free, strict=True)]
    alike = sum(s / max(v, 1e-300) for s, v in zip(squares, pooled, strict=True))
    scale, _ = shrunk(alike / (free[0] + free[1]), free[0] + free[1])
    return scale * pooled[0] * more, scale * pooled[1]


def predict(trend: Trend, x: float) -> Predicted:
    """The forecast at log10 of compute x.

    The intervals: what moves all leads at once, Student's t with the lines' degrees of freedom, is
    the error of the mean line at x and that of the new model. What chance leaves on these samples
    is added in quadrature; it has the new model's own errors, so those are taken from the former.
    Where the last model was missed from the others, the lines are not what they are taken for, and
    the intervals are that much wider, in proportion to the distance.
    """
    h = trend.design.at(x)
    lead, lead_unsure = trend.lead.at(h)
    apart, apart_unsure = trend.apart.at(h)
    correct = np.arange(len(apart))[:, None] == trend.gold
    centre = np.where(trend.present, np.where(correct, lead, apart), -np.inf)
    sd = _each(trend, trend.lead_variance + lead_unsure, trend.apart_variance + apart_unsure)
    count = len(trend.gold)
    quantile = float(stats.t.ppf(0.975, trend.free))
    own = Z**2 * float(trend.lead_variance.sum()) / count**2
    shift = math.sqrt(max(quantile**2 * trend.mean_variance * (1 + float(h @ h)) - own, 0.0))
    hit = hit_probability(centre, trend.gold, *sd)
    ends = _moved(centre, trend.gold, sd, shift, hit)
    by_chance = Z * math.sqrt(float((hit * (1 - hit)).sum())) / count
    p, p_ends, p_variance = _p_choices(centre, trend.gold, sd, shift)
    p_by_chance = Z * math.sqrt(float(p_variance.sum())) / count
    away = max(x - float(trend.design.x.mean()), 0.0)
    missed, p_missed = (miss * away for miss in trend.missed)
    return Predicted(
        hit,
        p,
        _interval(float(hit.mean()), ends, by_chance, missed),
        _interval(float(p.mean()), p_ends, p_by_chance, p_missed),
    )


def _moved(
    centre: Floats, gold: Integers, sd: tuple[Floats, Floats], shift: float, hit: Floats
) -> list[float]:
    """The mean of `hit` with all leads moved by -/+ shift; how far it moves, on some samples."""
    some = evenly(len(gold), SOME)
    part, place = centre[:, some], gold[some]
    step = shift * (np.arange(len(part))[:, None] == place)
    wide = sd[0][some], sd[1][some]
    mean, here = float(hit.mean()), float(hit[some].mean())
    return [
        mean + float(hit_probability(part + sign * step, place, *wide).mean()) - here
        for sign in (-1, 1)
    ]


def _each(trend: Trend, lead: Floats, apart: Floats) -> tuple[Floats, Floats]:
    """Standard deviations of the correct and of each incorrect choice that give these variances.

    The mean of the incorrect choices, from which both are measured, has apart / rivals.
    """
    rivals = trend.present.sum(axis=0) - 1
    other = np.where(rivals == 1, lead / 2, apart)
    return np.sqrt(np.maximum(lead - other / rivals, 0.0)), np.sqrt(other)


def _interval(
    mean: float, ends: list[float], by_chance: float, missed: float
) -> tuple[float, float]:
    return (
        max(mean - math.hypot(mean - ends[0], by_chance) - missed, 0.0),
        min(mean + math.hypot(ends[1] - mean, by_chance) + missed, 1.0),
    )


def hit_probability(centre: Floats, gold: Integers, sd: Floats, sd_other: Floats) -> Floats:
    """P(ell_c > max of the others) where every choice errs by itself.

    It is the integral over the correct choice's error z of phi(z) * product of
    Phi((mu_c + s_c z - mu_i) / s_i).

    Args:
        centre: Expected log-likelihoods, shape (choices, samples); -inf where there is none.
        gold: Shape (samples,).
        sd: Of the correct choice, shape (samples,).
        sd_other: Of each other, shape (samples,); with both 0 the largest wins, a tie counts a half
            for each rival.

    Returns:
        Shape (samples,).
    """
    own = np.take_along_axis(centre, gold[None], axis=0)
    correct = np.arange(len(centre))[:, None] == gold
    sd_other = np.maximum(sd_other, 1e-9)
    scaled = np.where(correct, np.inf, own - centre) / sd_other
    ratio = sd / sd_other
    # The trapezoidal rule: of so smooth an integrand exact to many digits.
    finest = STEP / max(float(ratio.max(initial=1.0)), 1.0)
    nodes = np.linspace(-WIDEST, WIDEST, min(math.ceil(2 * WIDEST / finest) + 1, MOST_NODES))
    weights = stats.norm.pdf(nodes)
    total = np.zeros(centre.shape[1])
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        total += weight * special.ndtr(scaled + node * ratio).prod(axis=0)
    return np.clip(total, 0.0, 1.0)


def _p_choices(
    centre: Floats, gold: Integers, sd: tuple[Floats, Floats], shift: float
) -> tuple[Floats, list[float], Floats]:
    """Expected p_choices of the correct choice, its mean with all leads moved by -/+ shift, and
    the variance by sample; from antithetic draws."""
    rng = np.random.default_rng(SEED)
    correct = np.arange(len(centre))[:, None] == gold
    wide = np.where(correct, sd[0], sd[1])
    count = len(gold)
    pairs = int(np.clip(DRAWS // count, 4, 64))
    total, squares, ends = np.zeros(count), np.zeros(count), np.zeros(2)
    for _ in range(pairs):
        noise = rng.standard_normal(centre.shape) * wide
        for ell in (centre + noise, centre - noise):
            odds = chain.log_odds(ell[:, None], gold)[0]
            p = special.expit(odds)
            total += p
            squares += p**2
            ends += [special.expit(odds + sign * shift).mean() for sign in (-1, 1)]
    draws = 2 * pairs
    mean = total / draws
    return mean, (ends / draws).tolist(), np.maximum(squares / draws - mean**2, 0.0)
