"""What the last layer of a model sees of each example."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax

from algoperf.errors import UserError
from algoperf.spec import Batch

_LAYERS = (nn.Dense, nn.DenseGeneral, nn.Conv, nn.Embed)


def last_layer_features(model: nn.Module, variables: Mapping[str, Any], batch: Batch) -> jax.Array:
    """Inputs of the layer that makes the outputs, without dropout.

    That layer is the last `nn.Dense`, `nn.DenseGeneral` or `nn.Conv` that the model calls, or the
    last table that it attends to (`nn.Embed.attend`, where inputs and outputs share one).

    Args:
        model: Called as `model(batch, train)`.
        variables: Parameters and model state.
        batch: Of `batch` examples.

    Returns:
        (batch, width): means over whatever lies between, such as places in a text or an image,
        padding included.

    Raises:
        UserError: If the model calls no such layer.
    """
    seen: list[jax.Array] = []

    def note(
        call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        looks_up = isinstance(context.module, nn.Embed) and context.method_name != "attend"
        if isinstance(context.module, _LAYERS) and args and not looks_up:
            seen[:] = args[:1]
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        model.apply(variables, batch, train=False)
    if not seen:
        raise UserError(
            f"The model {type(model).__name__} has no features: it calls no nn.Dense, "
            "nn.DenseGeneral, nn.Conv or nn.Embed.attend."
        )
    return seen[0].reshape(seen[0].shape[0], -1, seen[0].shape[-1]).mean(axis=1)
