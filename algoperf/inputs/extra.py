"""What is optional: the folder of the real data sets, and the packages that read them."""

import importlib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from algoperf.errors import UserError

DATA_VARIABLE = "ALGOPERF_DATA"


def data_root() -> Path:
    """The folder of all real data sets: $ALGOPERF_DATA, or algoperf below $XDG_DATA_HOME."""
    if given := os.environ.get(DATA_VARIABLE):
        return Path(given).expanduser().absolute()
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "algoperf"


def lacking(packages: Iterable[str]) -> list[str]:
    """Those of the packages that are not installed; imports none."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def require(module: str) -> Any:
    """The module of an optional package.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"The package of {module!r} is not installed; the real data sets need it: "
            "pip install 'algoperf[full]'"
        ) from error
