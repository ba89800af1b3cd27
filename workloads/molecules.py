"""The pocket relative of AlgoPerf's molecules: structures in random graphs, with a graph network.

32 yes-or-no questions about each graph, a third of them unanswered and some answered wrongly; most
answers are no.
"""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.molecules import STRUCTURES
from workloads.datasets.molecules import molecules as dataset
from workloads.losses import known_label_accuracy, known_label_cross_entropy
from workloads.metrics.average_precision import mean_average_precision
from workloads.models.gnn import GNN

molecules = Workload(
    **numbers("pocket", "molecules"),
    suite="pocket",
    mirrors="ogbg",
    model=GNN(outputs=len(STRUCTURES), latent=32, hidden=(48,), steps=4, dropout_rate=0.05),
    dataset=dataset,
    loss_type=LossType.SIGMOID_CROSS_ENTROPY,
    loss=known_label_cross_entropy,
    metrics={
        "loss": Metric(known_label_cross_entropy),
        "accuracy": Metric(known_label_accuracy),
        "mean_average_precision": mean_average_precision,
    },
    batch_size=64,
    eval_batch_size=500,
    eval_every_steps=240,
)

molecules_gelu = replace(
    molecules,
    **numbers("pocket", "molecules_gelu"),
    base="molecules",
    model=replace(molecules.model, activation=nn.gelu),
)

molecules_silu = replace(
    molecules,
    **numbers("pocket", "molecules_silu"),
    base="molecules",
    model=replace(molecules.model, activation=nn.silu),
)

molecules_model_size = replace(
    molecules,
    **numbers("pocket", "molecules_model_size"),
    base="molecules",
    model=replace(molecules.model, latent=16, hidden=(48, 48), steps=3),
)
