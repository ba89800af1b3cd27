"""The performance profile as a picture."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from scoring.leaderboard.board import Leaderboard

# Okabe & Ito's palette: can be told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")


def performance_profile(board: Leaderboard) -> Figure:
    """Share of workloads within tau times the fastest, a step line for each submission."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    table = board.ratio_table().to_numpy()
    end = board.rules.tau_max
    for place, row in enumerate(board.scores.to_dict("records")):
        within = np.sort(table[place][table[place] <= end])
        share = np.arange(len(within) + 1) / table.shape[1]
        axes.step(
            [1.0, *within, end],
            [*share, share[-1]],
            where="post",
            label=f"{row['submission']} ({row['score']:.3f})",
            color=COLOURS[place % len(COLOURS)],
            linestyle=DASHES[place // len(COLOURS) % len(DASHES)],
            linewidth=2,
        )
    axes.set(
        xlim=(1, end),
        ylim=(-0.02, 1.02),
        xlabel=f"tau: {board.axis} to target, as a ratio to the fastest",
        ylabel="share of workloads",
        title=f"Performance profile, rules {board.rules.name} (score: normalised area)",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes the figure as PNG and SVG; text in the SVG stays text."""
    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "algoperf"}):
        for path in paths:
            figure.savefig(
                path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None
            )
    return paths
