"""Laws of scale that others have fitted, as curves: what they say is in their docstrings.

x has a column for each variable that a law takes. Variables are divided by their geometric mean
where a power is taken (`centre`), so that no power overflows; parameters are in those units.
"""

import numpy as np

from scoring.diagnostics.curves import Curve
from scoring.intervals import Floats

_EXPONENTS = np.geomspace(0.01, 3.0, 120)
_INF = np.inf


def centre(values: Floats) -> float:
    """The geometric mean."""
    return float(np.exp(np.log(values).mean()))


def logistic(chance: float, lowest: float, highest: float) -> Curve:
    """Accuracy over log10 C, from chance to 1: a benchmark-level fit that sees no choices.

    Args:
        chance: Accuracy of a guess.
        lowest: Of log10 C; the midpoint is searched from 6 decades below to 12 above.
        highest: Of log10 C.
    """

    def basis(x: Floats, midpoint: Floats, width: Floats) -> Floats:
        z = np.clip((x[:, 0] - midpoint) / width, -500, 500)
        return (1 / (1 + np.exp(-z)))[:, :, None]

    return Curve(
        name="logistic",
        formula="accuracy = chance + (1 - chance) / (1 + exp(-(log10 C - midpoint) / width))",
        grid={
            "midpoint": np.linspace(lowest - 6, highest + 12, 32),
            "width": np.geomspace(0.05, 10, 16),
        },
        linear={"range": (1 - chance, 1 - chance)},
        basis=basis,
        offset=chance,
    )


def power(name: str, formula: str, floor: tuple[float, float]) -> Curve:
    """y = E + A x^-alpha: error or loss over compute, or over tokens (Isik et al. 2024,
    arXiv:2402.04177, equation 2)."""  # fmt: skip

    def basis(x: Floats, alpha: Floats) -> Floats:
        falling = x[:, 0] ** -alpha
        return np.stack([np.ones_like(falling), falling], axis=-1)

    return Curve(name, formula, {"alpha": _EXPONENTS}, {"E": floor, "A": (0, _INF)}, basis)


ERROR_POWER = power("error_power", "error = E + A (C / centre)^-alpha", (0, 1))
LOSS_POWER = power("loss_power", "loss = E + A (C / centre)^-alpha", (0, _INF))


def _gadre_loss(x: Floats, eta: Floats) -> Floats:
    terms = x[None] ** (-2 * eta)[..., None]
    return np.concatenate([np.ones_like(terms[..., :1]), terms], axis=-1)


GADRE_LOSS = Curve(
    name="gadre_loss",
    formula="loss = E + alpha (N / centre)^(-2 eta) + beta (D / centre)^(-2 eta)",
    grid={"eta": np.geomspace(0.005, 1.5, 120)},
    linear={"E": (0, _INF), "alpha": (0, _INF), "beta": (0, _INF)},
    basis=_gadre_loss,
)
"""Gadre et al. 2024, arXiv:2403.08540, equation 4: L = E + (a M^eta + b M^-eta) C^-eta with
M = D / N and C = 6 N D, which is this with a = alpha 6^eta and b = beta 6^eta."""


def gadre_error(spread: float) -> Curve:
    """Gadre et al. 2024, arXiv:2403.08540, equation 5: Err = eps - k exp(-gamma L).

    Args:
        spread: Range of the losses, to which the searched gammas are scaled.
    """

    def basis(x: Floats, gamma: Floats) -> Floats:
        rising = -np.exp(np.clip(-gamma * x[:, 0], -700, 700))
        return np.stack([np.ones_like(rising), rising], axis=-1)

    return Curve(
        name="gadre_error",
        formula="error = eps - k exp(-gamma (loss - centre))",
        grid={"gamma": np.geomspace(0.01, 20, 120) / spread},
        linear={"eps": (0, 1), "k": (0, _INF)},
        basis=basis,
    )


def isik(smallest: float) -> Curve:
    """Isik et al. 2024, arXiv:2402.04177, equation 1: score = log(A D^alpha)^beta.

    With u = log A / alpha it is alpha^beta (log D + u)^beta; a real power needs log D > -u, so
    the search begins there.

    Args:
        smallest: The smallest log D of the points.
    """

    def basis(x: Floats, shift: Floats, beta: Floats) -> Floats:
        return (np.maximum(x[:, 0] - smallest + shift, 1e-12) ** beta)[:, :, None]

    return Curve(
        name="isik",
        formula="score = scale (log D - smallest + shift)^beta",
        grid={"shift": np.geomspace(0.05, 50, 24), "beta": np.geomspace(0.05, 10, 24)},
        linear={"scale": (0, _INF)},
        basis=basis,
    )


def cod(chance: float) -> Curve:
    """Xu et al. 2025, arXiv:2502.17262: y = g + (1 - g) exp(-a C^-b - c) for one cluster.

    Compute is divided by its geometric mean, so the paper's bound a > 1, which is for its unit of
    compute, is not applied; b > 0.1 and 0 <= c < 1 are.
    """

    def basis(x: Floats, a: Floats, b: Floats) -> Floats:
        return (1 - chance) * np.exp(-a * x[:, 0] ** -b)[:, :, None]

    return Curve(
        name="cod",
        formula="y = g + (1 - g) exp(-a (C / centre)^-b - c), exp(-c) = kept",
        grid={"a": np.geomspace(0.01, 30, 40), "b": np.geomspace(0.02, 2, 24)},
        linear={"kept": (float(np.exp(-1)), 1.0)},
        basis=basis,
        offset=chance,
    )
