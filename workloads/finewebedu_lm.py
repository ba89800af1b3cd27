"""AlgoPerf's language workload: FineWeb-Edu with a decoder-only model.

Published are 12 layers, their kinds of parameters, target and step hint; no budget, test target,
width, sequence length or evaluation period. What is open here is GPT-2 small's (Radford et al.
2019): width 768, 12 heads, 1,024 tokens; two thirds of its 3,072 hidden features, since a gated MLP
has three matrices and not two (Shazeer 2020, arXiv:2002.05202). It is evaluated every 10 minutes.
"""

from functools import partial

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.fineweb import fineweb
from workloads.losses import token_cross_entropy
from workloads.metrics.perplexity import perplexity
from workloads.models.language import LanguageModel

_loss = partial(token_cross_entropy, padded=False)

finewebedu_lm = Workload(
    **numbers("v0.6", "finewebedu_lm"),
    suite="full",
    model=LanguageModel(vocabulary=50_257, width=768, heads=12, layers=12, mlp_width=2048),
    dataset=fineweb,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=_loss,
    metrics={"loss": Metric(_loss), "ppl": perplexity},
    batch_size=64,
    eval_batch_size=64,
    eval_every_s=600.0,
    compile_counts=True,
)
