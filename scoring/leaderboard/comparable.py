"""What cannot be compared is refused: other held-out workloads, a missing axis, unlike machines."""

import numpy as np
import pandas as pd

from algoperf.errors import UserError
from algoperf.rules import Rules
from scoring.leaderboard import profiles, times
from scoring.leaderboard.logs import Logs
from scoring.leaderboard.measurements import AXES


def check_held_out(logs: Logs, rules: Rules) -> None:
    """A held-out list that is not that of the logs would void every base, and quietly."""
    suite, there = profiles.suite_of(rules), set(logs.trials["workload"])
    lacking = [
        suite.columns[column]
        for base, columns in enumerate(suite.held_out)
        for column in columns
        if suite.columns[base] in there and suite.columns[column] not in there
    ]
    if lacking:
        raise UserError(
            f"The rules {rules.name!r} hold out {', '.join(lacking)}, and nobody has a trial "
            "on that; the logs' variants are: "
            f"{', '.join(logs.unscored) or 'none'}. Score with rules "
            'whose "held_out" is the list that was drawn (a file of your own may say '
            f'{{"extends": "{rules.name}", "held_out": [...]}}), or with rules that have none.'
        )


def check_axis(logs: Logs, axis: str) -> None:
    """Refuses an axis that no evaluation has."""
    if not np.isfinite(logs.evaluations[axis]).any() and len(logs.evaluations):
        raise UserError(
            f"The logs do not have the column {AXES[axis]!r}, so time cannot be measured in {axis}."
        )


def check_machines(trials: pd.DataFrame) -> None:
    """Refuses to compare the seconds of unlike machines; those without a result do not matter.

    Raises:
        UserError: That names the machines.
    """
    machines = times.machines(trials)
    if len(machines) > 1:
        found = [
            f"{name or 'not recorded'}: {', '.join(sorted(names))}"
            for name, names in machines.items()
        ]
        raise UserError.of_many(
            "Seconds of unlike machines cannot be ranked together. Use --time steps, examples or "
            "flops, or score each machine's results alone (each manifest.json describes its "
            "machine):",
            found,
        )


def reference(asked: str | None, rules: Rules, submissions: list[str]) -> str:
    """The submission that speed-ups are over: the one asked for, the rules' own, or the first."""
    if asked is None:
        return rules.reference if rules.reference in submissions else submissions[0]
    if asked not in submissions:
        raise UserError(
            f"There are no results of the reference {asked!r}; there are: {', '.join(submissions)}."
        )
    return asked
