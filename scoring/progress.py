"""What is being done at the moment, for who waits for it."""

from collections.abc import Callable

Tell = Callable[[str], None]
"""Takes what is being done now."""


def quiet(_: str) -> None:
    """Tells nobody."""
