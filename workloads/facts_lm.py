"""The pocket relative of AlgoPerf's language model: documents about a small world of facts.

Beside its metrics, every evaluation asks 160 questions of multiple choice, and writes the
log-likelihood of each choice to `choices.csv`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Extra, Standing, Workload, numbers
from workloads.datasets.facts import LENGTH, facts, questions, vocabulary
from workloads.losses import token_cross_entropy
from workloads.metrics.choices import choice_table
from workloads.metrics.perplexity import perplexity
from workloads.models.language import LanguageModel

_loss = partial(token_cross_entropy, padded=False)


def _choices(
    model: nn.Module, variables: Mapping[str, Any], standing: Standing
) -> Mapping[str, Sequence[Any]]:
    return choice_table(questions(), LENGTH, model, variables, standing)


facts_lm = Workload(
    **numbers("pocket", "facts_lm"),
    suite="pocket",
    mirrors="finewebedu_lm",
    model=LanguageModel(
        vocabulary=len(vocabulary()[0]), width=64, heads=4, layers=2, mlp_width=128
    ),
    dataset=facts,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=_loss,
    metrics={"loss": Metric(_loss), "ppl": perplexity},
    extra=Extra("choices", _choices),
    batch_size=32,
    eval_batch_size=128,
    eval_every_steps=80,
)

facts_lm_gelu = replace(
    facts_lm,
    **numbers("pocket", "facts_lm_gelu"),
    base="facts_lm",
    model=replace(facts_lm.model, activation=nn.gelu),
)

facts_lm_model_size = replace(
    facts_lm,
    **numbers("pocket", "facts_lm_model_size"),
    base="facts_lm",
    model=replace(facts_lm.model, width=48, layers=3, mlp_width=96),
)

facts_lm_narrow = replace(
    facts_lm,
    **numbers("pocket", "facts_lm_narrow"),
    base="facts_lm",
    model=replace(facts_lm.model, width=32, mlp_width=64),
)

facts_lm_wide = replace(
    facts_lm,
    **numbers("pocket", "facts_lm_wide"),
    base="facts_lm",
    model=replace(facts_lm.model, width=128, mlp_width=256),
)
