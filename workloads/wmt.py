"""AlgoPerf's translation workload: WMT German to English with a Transformer (Dahl et al. 2023).

The MLPs are as wide as the tokens, not four times as wide.
"""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.vocabularies import EOS
from workloads.datasets.wmt import detokenize
from workloads.datasets.wmt import wmt as dataset
from workloads.losses import token_accuracy, token_cross_entropy
from workloads.metrics.bleu import Translate, bleu
from workloads.models.transformer import Transformer

wmt = Workload(
    **numbers("v0.6", "wmt"),
    suite="full",
    model=Transformer(vocabulary=32_000, width=1024, heads=16, layers=6, mlp_width=1024),
    dataset=dataset,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=token_cross_entropy,
    metrics={
        "loss": Metric(token_cross_entropy),
        "accuracy": Metric(token_accuracy),
        "bleu": bleu(detokenize, Translate(end=EOS)),
    },
    batch_size=128,
    eval_batch_size=128,
    eval_every_s=840.0,
    compile_counts=True,
)

wmt_post_ln = replace(
    wmt,
    **numbers("v0.6", "wmt_post_ln"),
    base="wmt",
    model=replace(wmt.model, post_norm=True),
)

wmt_attention_temp = replace(
    wmt,
    **numbers("v0.6", "wmt_attention_temp"),
    base="wmt",
    model=replace(wmt.model, temperature=4.0),
)

wmt_glu_tanh = replace(
    wmt,
    **numbers("v0.6", "wmt_glu_tanh"),
    base="wmt",
    model=replace(wmt.model, glu=True, activation=nn.tanh),
)
