"""What can go wrong that is not a defect of ours, and the signal that ends a training early."""

from collections.abc import Sequence


class UserError(Exception):
    """A mistake of the user's: the message says what failed and what to do; exit status 2."""

    @classmethod
    def of_many(cls, what: str, faults: Sequence[str]) -> "UserError":
        """One error that lists every fault found, so that one run of a command shows them all."""
        return cls("\n".join([what, *(f"  - {fault}" for fault in faults)]))


def few(parts: Sequence[str], most: int) -> str:
    """The first parts, for a sentence, and how many more there are."""
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


class TrainingComplete(Exception):
    """Raised by a submission's `update`: it has nothing more to gain. A last evaluation follows."""


class HostLost(UserError):
    """Another host's part of a trial is gone: no fault of the trial, which can go on later."""
