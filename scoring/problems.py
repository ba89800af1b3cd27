"""What is wrong with logs or files: a row with a reason, never a silent skip."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something wrong with what was read.

    Attributes:
        path: Where.
        problem: What.
        action: What was done about it.
    """

    path: str
    problem: str
    action: str
