"""A small relative of AlgoPerf's translation workload: made-up languages with a Transformer."""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.language_pair import END, LENGTH, LEXICON, detokenize
from workloads.datasets.language_pair import language_pair as dataset
from workloads.losses import token_accuracy, token_cross_entropy
from workloads.metrics.bleu import Translate, bleu
from workloads.models.transformer import Transformer

translation = Workload(
    **numbers("pocket", "translation"),
    suite="pocket",
    mirrors="wmt",
    model=Transformer(
        vocabulary=len(LEXICON.pieces),
        width=64,
        heads=4,
        layers=2,
        mlp_width=64,
        max_length=LENGTH,
    ),
    dataset=dataset,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=token_cross_entropy,
    metrics={
        "loss": Metric(token_cross_entropy),
        "accuracy": Metric(token_accuracy),
        "bleu": bleu(detokenize, Translate(end=END)),
    },
    batch_size=64,
    eval_batch_size=256,
    eval_every_steps=100,
)

translation_post_ln = replace(
    translation,
    **numbers("pocket", "translation_post_ln"),
    base="translation",
    model=replace(translation.model, post_norm=True),
)

translation_attention_temp = replace(
    translation,
    **numbers("pocket", "translation_attention_temp"),
    base="translation",
    model=replace(translation.model, temperature=4.0),
)

translation_glu_tanh = replace(
    translation,
    **numbers("pocket", "translation_glu_tanh"),
    base="translation",
    model=replace(translation.model, glu=True, activation=nn.tanh),
)
