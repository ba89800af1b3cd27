"""The verbs that show what there is, and that prepare data: list, data, doctor."""

import sys

from rich.console import Console

from algoperf import listing, registry
from algoperf.cli.output import say, telling, wide_console
from algoperf.errors import UserError


def list_(what: str, *, json: bool = False) -> None:
    """Prints workloads, submissions, suites or rules, for people or for programs."""
    rows = listing.rows(what)
    if json:
        sys.stdout.write(listing.as_json(rows) + "\n")
    else:
        wide_console().print(listing.table(rows))


def data_list() -> None:
    """Prints the real data sets and whether they are there."""
    from algoperf.inputs.extra import data_root

    console = Console()
    console.print(listing.table(listing.datasets()))
    say(console, f"Data folder: {data_root()}")


def data_prepare(name: str) -> None:
    """Says what to put where, and converts it, unless it is there already."""
    from algoperf.console import Preparing
    from algoperf.inputs import prepare

    dataset = registry.dataset(name)
    console = Console()

    if dataset.missing() is not None:
        root = str(dataset.data_root)
        say(console, f"{name} needs, below {root}:\n{dataset.instructions.replace('DATA', root)}\n")
        with Preparing(console) as watch:
            prepare.prepare(dataset, watch)
    if faults := dataset.faults():
        raise UserError.of_many(f"{name} is not ready:", faults)
    for line in prepare.report(dataset):
        say(console, line)
    say(console, f"{name} is ready: {listing.counts(dataset.sizes)}.")


def data_check(name: str, *, hashes: bool = False) -> None:
    """Opens every file of a data set; all faults in one error."""
    from algoperf.inputs import prepare

    dataset = registry.dataset(name)
    with telling() as tell:
        tell(f"opening the files of {name}")
        faults = prepare.check(dataset, hashes=hashes, tell=tell)
    if faults:
        raise UserError.of_many(
            f"{name} is not ready; `algoperf data prepare {name}` says what to do:", faults
        )
    say(Console(), f"{name} is ready: {listing.counts(dataset.sizes)}.")


def doctor() -> None:
    """Prints what this machine is, how fast it is now, and what is missing."""
    Console().print(listing.table(listing.machine_facts(), heading=False))
