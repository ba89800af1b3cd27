"""What the rules ask for and the logs do not hold."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import pandas as pd

from algoperf.rules import Rules, Ruleset, Tuning
from scoring.problems import Problem


def gaps(trials: pd.DataFrame, rules: Rules) -> list[Problem]:
    """What the rules ask for and the logs do not hold: one problem for all workloads alike."""
    there: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    rulesets: dict[str, list[Ruleset]] = defaultdict(list)
    columns = (trials[name] for name in ("submission", "workload", "study", "ruleset"))
    for submission, workload, study, ruleset in zip(*columns, strict=True):
        there[submission, workload][study] += 1
        rulesets[submission].append(ruleset)
    found: dict[tuple[str, str, str], list[str]] = {}
    for submission, of_trials in rulesets.items():
        if len(set(of_trials)) > 1:
            action = "gave each trial the budget of its own"
            found[submission, "trials of both rulesets", action] = ["all workloads"]
        for workload in (*rules.base_workloads, *rules.held_out):
            for what, action in _gaps_of(there[submission, workload], rules.tuning[of_trials[0]]):
                found.setdefault((submission, what, action), []).append(workload)
    return [
        Problem(f"{submission} on {', '.join(workloads)}", what, action)
        for (submission, what, action), workloads in found.items()
    ]


def _gaps_of(trials: Counter[int], granted: Tuning) -> Iterator[tuple[str, str]]:
    """(what is missing, what was done) of one submission on one workload: trials by study."""
    if not trials:
        yield "there is no trial", "counted as not reached"
        return
    if len(trials) < granted.studies:
        yield f"{len(trials)} of {granted.studies} studies", "took the median over those there are"
    if (fewest := min(trials.values())) < granted.trials:
        what = f"a study has {fewest} of {granted.trials} trials"
        yield what, "took the fastest of those there are"
