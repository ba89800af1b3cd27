"""AlgoPerf's molecule workload: ogbg-molpcba with a graph network (Dahl et al. 2023).

128 yes-or-no questions about each molecule, most of them unanswered. The reference calls its loss
a softmax cross-entropy, although it is, there too, a sigmoid one; here it bears its name.
"""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.ogbg import ogbg as dataset
from workloads.losses import known_label_accuracy, known_label_cross_entropy
from workloads.metrics.average_precision import mean_average_precision
from workloads.models.gnn import GNN

ogbg = Workload(
    **numbers("v0.6", "ogbg"),
    suite="full",
    model=GNN(outputs=128, latent=256, hidden=(256,), steps=5),
    dataset=dataset,
    loss_type=LossType.SIGMOID_CROSS_ENTROPY,
    loss=known_label_cross_entropy,
    metrics={
        "loss": Metric(known_label_cross_entropy),
        "accuracy": Metric(known_label_accuracy),
        "mean_average_precision": mean_average_precision,
    },
    batch_size=512,
    eval_batch_size=32_768,
    eval_every_s=240.0,
    compile_counts=True,
)

ogbg_gelu = replace(
    ogbg,
    **numbers("v0.6", "ogbg_gelu"),
    base="ogbg",
    model=replace(ogbg.model, activation=nn.gelu),
)

ogbg_silu = replace(
    ogbg,
    **numbers("v0.6", "ogbg_silu"),
    base="ogbg",
    model=replace(ogbg.model, activation=nn.silu),
)

ogbg_model_size = replace(
    ogbg,
    **numbers("v0.6", "ogbg_model_size"),
    base="ogbg",
    model=replace(ogbg.model, latent=128, hidden=(256, 256), steps=3),
)
