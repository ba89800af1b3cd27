"""Handwritten digits with a small Vision Transformer: dropout, so training is random."""

from dataclasses import replace

import flax.linen as nn

from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.digits import shifted_digits
from workloads.losses import classification_metrics, softmax_cross_entropy
from workloads.models.vit import ViT

digits_vit = Workload(
    **numbers("quick", "digits_vit"),
    suite="quick",
    model=ViT(patch=2, width=32, depth=2, heads=2, classes=10, dropout_rate=0.1),
    dataset=shifted_digits,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=classification_metrics,
    batch_size=64,
    eval_batch_size=512,
    eval_every_steps=30,
)

digits_vit_relu = replace(
    digits_vit,
    **numbers("quick", "digits_vit_relu"),
    base="digits_vit",
    model=replace(digits_vit.model, activation=nn.relu),
)

digits_vit_post_ln = replace(
    digits_vit,
    **numbers("quick", "digits_vit_post_ln"),
    base="digits_vit",
    model=replace(digits_vit.model, post_norm=True),
)
