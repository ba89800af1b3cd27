"""Decay far above habit, and an average, for data seen often. Kim et al. 2025, arXiv:2509.14786.

The paper trains on repeated data with 30 times the usual weight decay, and averages the predictions
of models from several seeds. One trial is evaluated at the parameters of one model, so there is
no ensemble here. Weights of independent models cannot be averaged in its stead: they lie in
different basins, and their mean predicts nothing. What can be had is the mean of the weights at
the end of one run, whose predictions are, to first order, those of an ensemble of its checkpoints
(Izmailov et al. 2018, arXiv:1803.05407, section 3.5). These checkpoints agree far more than seeds
do, so expect less of it than of the paper's ensembles. How often data are repeated is decided by
the workload, whose step hint is many times its training split.
"""

import optax

from algoperf import from_optax, warmup_cosine
from algoperf.averaging import average_of, latest

# The paper's decays are 0.8 to 3.2, where 0.1 is the habit.
search_space = {
    "learning_rate": {"min": 3e-3, "max": 1e-2, "scaling": "log"},
    "one_minus_beta1": {"min": 0.05, "max": 0.15, "scaling": "log"},
    "weight_decay": {"min": 0.3, "max": 3.0, "scaling": "log"},
    "warmup": {"feasible_points": [0.02, 0.05, 0.1]},
}


def transformation(hp, workload):
    rate = warmup_cosine(hp.learning_rate, workload.step_hint, hp.warmup)
    return optax.chain(
        optax.adamw(rate, b1=1 - hp.one_minus_beta1, b2=0.99, weight_decay=hp.weight_decay),
        latest(8, every=max(1, workload.step_hint // 50)),
    )


submission = from_optax(
    transformation,
    steps=lambda workload: workload.step_hint,
    evaluate=lambda state, params: average_of(state[-1], params),
)
