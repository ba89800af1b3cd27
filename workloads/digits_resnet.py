"""Handwritten digits with a small ResNet: batch normalisation, so the model has state."""

from dataclasses import replace

import flax.linen as nn

from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.digits import shifted_digits
from workloads.losses import classification_metrics, softmax_cross_entropy
from workloads.models.resnet import ResNet

digits_resnet = Workload(
    **numbers("quick", "digits_resnet"),
    suite="quick",
    model=ResNet(blocks=(1, 1), width=16, classes=10),
    dataset=shifted_digits,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=classification_metrics,
    batch_size=128,
    eval_batch_size=512,
    eval_every_steps=20,
)

digits_resnet_gelu = replace(
    digits_resnet,
    **numbers("quick", "digits_resnet_gelu"),
    base="digits_resnet",
    model=replace(digits_resnet.model, activation=nn.gelu),
)

digits_resnet_large_bn_init = replace(
    digits_resnet,
    **numbers("quick", "digits_resnet_large_bn_init"),
    base="digits_resnet",
    model=replace(digits_resnet.model, last_scale=4.0),
)
