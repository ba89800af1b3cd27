"""What a command asked for, made sure of before anything is done."""

from collections.abc import Iterable, Sequence

from algoperf import registry, rulesets
from algoperf.errors import UserError
from algoperf.rules import Rules


def workload_names(rules: Rules, asked: Sequence[str] | None) -> list[str]:
    """Those asked for, or the bases of the rules; a name that the rules lack is an error."""
    for name in asked or ():
        if name not in rules.workloads:
            raise _not_in(rules, name)
    return list(dict.fromkeys(asked or rules.base_workloads))


def _not_in(rules: Rules, name: str) -> UserError:
    if name not in rulesets.workload_names():
        return registry.unknown("workload", name, rules.workloads, "algoperf list workloads")
    suite = registry.workload(name).suite
    return UserError(
        f"The rules {rules.name!r} do not have the workload {name!r}: it is of the suite "
        f"{suite!r}. Add --suite {suite}."
    )


def require_data(names: Iterable[str]) -> None:
    """Complains about everything that is missing, before anything is trained."""
    gaps = {registry.workload(name).dataset.missing() for name in names}
    if lacking := sorted(gap for gap in gaps if gap is not None):
        raise UserError.of_many("The data are not there:", lacking)


def check_counts(studies: int | None, repeats: int | None, *, rerun_slowed: bool) -> None:
    """Makes sure that --studies and --repeats say something."""
    for option, value in (("--studies", studies), ("--repeats", repeats)):
        if value is not None and value < 1:
            raise UserError(f"{option} is {value}; it must be at least 1.")
    if repeats is not None and not rerun_slowed:
        raise UserError("--repeats needs --rerun-slowed.")
