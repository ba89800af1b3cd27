"""The rules of a benchmark: workloads, targets, budgets, studies, trials, scoring. No jax."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from algoperf.spec import Target


class Ruleset(StrEnum):
    """How a submission may be tuned."""

    EXTERNAL = "external"
    SELF_TUNING = "self_tuning"


@dataclass(frozen=True)
class Tuning:
    """What a ruleset grants: `trials` in each of `studies`, at `budget_factor` times the budget."""

    studies: int
    trials: int
    budget_factor: float


@dataclass(frozen=True)
class WorkloadRules:
    """What the rules fix for one workload.

    Attributes:
        validation: The target that ends a trial and that counts.
        test: The same for the test split; NaN, which nothing meets, where the rules have none.
        budget_s: Submission time in external tuning [s]; infinite where the rules have none.
        step_hint: Steps that a tuned baseline needs, for schedules.
    """

    validation: Target
    test: Target
    budget_s: float
    step_hint: int


class TrialChoice(StrEnum):
    """Which trial a study's time is that of."""

    FASTEST = "fastest"
    EARLIEST_EVALUATION = "earliest_evaluation"


@dataclass(frozen=True)
class Scoring:
    """How times become a score.

    Attributes:
        tau_min: Where the performance profile's area begins, as a ratio to the fastest.
        tau_max: Where it ends.
        cutoff: A time above so many times the fastest of its workload is not reached.
        choice: The trial whose time is its study's. The rules say the fastest; MLCommons'
            scorer takes the one whose evaluations are the fewest.
        profile_points: MLCommons' scorer samples the profile at so many points and takes the
            trapezoid rule; None for the exact area.
        budget_checked: Whether an evaluation past the budget is refused. The runner of v0.5 made
            one, and the scorer counted it.
    """

    tau_min: float = 1.0
    tau_max: float = 4.0
    cutoff: float = 4.0
    choice: TrialChoice = TrialChoice.FASTEST
    profile_points: int | None = None
    budget_checked: bool = True


@dataclass(frozen=True)
class Rules:
    """One version of a benchmark.

    Attributes:
        name: As given with `--rules`.
        suite: The suite that is run under these rules.
        tuning: What each ruleset grants.
        base_workloads: Those that are scored, in the order of the table.
        held_out: Variants that veto their base if missed; empty in most rules.
        held_out_pool: Groups of variants, by data set, of which a seed draws one each.
        qualification: Workloads on which a submission qualifies, if the rules have any.
        workloads: Targets and budgets, by name; also of variants that are not scored.
        scoring: How times become a score.
        seed: Root of every trial's seed and of the points drawn.
        reference: The submission that speed-ups are over, unless another is asked for.
    """

    name: str
    suite: str
    tuning: Mapping[Ruleset, Tuning]
    base_workloads: tuple[str, ...]
    held_out: tuple[str, ...]
    held_out_pool: Mapping[str, tuple[str, ...]]
    qualification: tuple[str, ...]
    workloads: Mapping[str, WorkloadRules]
    scoring: Scoring
    seed: int
    reference: str

    def fixed(self, workload: str, ruleset: Ruleset) -> "WorkloadRules":
        """What is fixed for a trial; the budget is what the ruleset grants."""
        rules = self.workloads[workload]
        return replace(rules, budget_s=rules.budget_s * self.tuning[ruleset].budget_factor)

    def base_of(self, variant: str) -> str:
        """The base workload whose name begins the variant's.

        Raises:
            ValueError: If there is none.
        """
        bases = [base for base in self.base_workloads if variant.startswith(f"{base}_")]
        if not bases:
            raise ValueError(f"the held-out {variant!r} is a variant of no base workload")
        return max(bases, key=len)
