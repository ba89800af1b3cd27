"""How the verbs say something to whoever called them."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from algoperf.records import printable


def say(console: Console, line: str) -> None:
    """As it is: a message is not wrapped, and its brackets are no markup."""
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def wide_console() -> Console:
    """As wide as the terminal; into a file or a pipe there is no width to fit."""
    console = Console()
    return console if console.is_terminal else Console(width=150)


def print_written(console: Console, written: Sequence[Path]) -> None:
    """Where the report is."""
    if written:
        names = ", ".join(path.name for path in written)
        say(console, f"Report in {written[0].parent}: {names}")


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """Shows on a terminal what is being done; inside, nothing else may be printed.

    Yields:
        What takes the words for it.
    """
    if not sys.stderr or not sys.stderr.isatty():
        yield lambda text: None
        return
    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(Text(printable(text)))
