"""AlgoPerf's click-through workload: Criteo 1TB with a small DLRM (Dahl et al. 2023).

A submission that keeps two moments needs 6.5 GB for parameters and state: nearly all is the table.
"""

from dataclasses import replace

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.criteo import criteo as dataset
from workloads.losses import sigmoid_cross_entropy
from workloads.models.dlrm import DLRM

criteo1tb = Workload(
    **numbers("v0.6", "criteo1tb"),
    suite="full",
    model=DLRM(
        table_rows=4_194_304,
        table_width=128,
        bottom=(512, 256, 128),
        top=(1024, 1024, 512, 256),
    ),
    dataset=dataset,
    loss_type=LossType.SIGMOID_CROSS_ENTROPY,
    loss=sigmoid_cross_entropy,
    metrics={"loss": Metric(sigmoid_cross_entropy)},
    batch_size=262_144,
    eval_batch_size=131_072,
    eval_every_s=120.0,
    compile_counts=True,
)

criteo1tb_layernorm = replace(
    criteo1tb,
    **numbers("v0.6", "criteo1tb_layernorm"),
    base="criteo1tb",
    model=replace(criteo1tb.model, normalise=True),
)

criteo1tb_embed_init = replace(
    criteo1tb,
    **numbers("v0.6", "criteo1tb_embed_init"),
    base="criteo1tb",
    model=replace(criteo1tb.model, embedding_scale=1.0),
)

criteo1tb_resnet = replace(
    criteo1tb,
    **numbers("v0.6", "criteo1tb_resnet"),
    base="criteo1tb",
    model=replace(
        criteo1tb.model,
        bottom=(256, 256, 256),
        top=(256, 256, 256, 256),
        residual=True,
        interactions=False,
    ),
)
