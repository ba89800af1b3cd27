"""Muon on hidden matrices, AdamW elsewhere. Jordan 2024; Liu et al. 2025, arXiv:2502.16982."""

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from algoperf import from_optax, warmup_cosine
from algoperf.preconditioning import input_axes

search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "momentum": {"feasible_points": [0.9, 0.95]},
    "weight_decay": {"min": 5e-3, "max": 0.5, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def hidden_matrix(axes, shape, is_output):
    """How a parameter is a matrix; None for embeddings, output layers, biases and norms."""
    if axes == 0 or is_output:
        return None
    return MuonDimensionNumbers(tuple(range(axes)), tuple(range(axes, len(shape.shape))))


def transformation(hp, workload):
    matrices = jax.tree.map(
        hidden_matrix,
        input_axes(workload),
        workload.parameter_shapes,
        workload.output_parameters,
    )
    return optax.contrib.muon(
        warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup),
        beta=hp.momentum,
        weight_decay=hp.weight_decay,
        adam_b2=0.99,  # of AdamW, which is given Nesterov momentum like Muon
        adam_weight_decay=hp.weight_decay,
        muon_weight_dimension_numbers=matrices,
        consistent_rms=0.2,  # as large as AdamW's changes, so that one rate serves both
    )


submission = from_optax(transformation, steps=lambda workload: workload.step_hint)
