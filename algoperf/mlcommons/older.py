"""Names that submissions to older rules use, and that are gone: offered for as long as one runs.

That is until its process ends; in `algoperf check` and in a trial there is one submission.
"""

import sys
from types import ModuleType

import jax

from algoperf import jax_sharding_utils, spec

PACKAGE = "algorithmic_efficiency"
"""What MLCommons' package was called up to rules v0.5."""


def offer() -> None:
    """Makes the old names lead to the new ones; a second time changes nothing."""
    # jax had its functions on trees at the top until 0.4.26.
    for name in ("flatten", "leaves", "map", "structure", "transpose", "unflatten"):
        if not hasattr(jax, f"tree_{name}"):
            setattr(jax, f"tree_{name}", getattr(jax.tree, name))
    package = ModuleType(PACKAGE, "MLCommons' package by its old name.")
    package.__path__ = []
    sys.modules[PACKAGE] = package
    for module in (spec, jax_sharding_utils):
        name = module.__name__.rpartition(".")[2]
        setattr(package, name, module)
        sys.modules[f"{PACKAGE}.{name}"] = module
