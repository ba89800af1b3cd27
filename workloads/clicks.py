"""Click-through, made up: which impressions are clicked, with a small DLRM."""

from dataclasses import replace

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.clicks import NUMBERS, TABLE_ROWS
from workloads.datasets.clicks import clicks as dataset
from workloads.losses import sigmoid_cross_entropy
from workloads.models.dlrm import DLRM

clicks = Workload(
    **numbers("pocket", "clicks"),
    suite="pocket",
    mirrors="criteo1tb",
    model=DLRM(
        table_rows=TABLE_ROWS,
        table_width=16,
        bottom=(128, 64, 16),
        top=(256, 128, 64),
        numbers=NUMBERS,
    ),
    dataset=dataset,
    loss_type=LossType.SIGMOID_CROSS_ENTROPY,
    loss=sigmoid_cross_entropy,
    metrics={"loss": Metric(sigmoid_cross_entropy)},
    batch_size=4096,
    eval_batch_size=8_000,
    eval_every_steps=160,
)

clicks_layernorm = replace(
    clicks,
    **numbers("pocket", "clicks_layernorm"),
    base="clicks",
    model=replace(clicks.model, normalise=True),
)

clicks_embed_init = replace(
    clicks,
    **numbers("pocket", "clicks_embed_init"),
    base="clicks",
    model=replace(clicks.model, embedding_scale=1.0),
)
