"""Invented letters with a small ResNet: a tenth of the training labels is wrong."""

from dataclasses import replace

import flax.linen as nn

from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.glyphs import CLASSES, glyphs
from workloads.losses import accuracy_metrics, softmax_cross_entropy
from workloads.models.resnet import ResNet

glyphs_resnet = Workload(
    **numbers("pocket", "glyphs_resnet"),
    suite="pocket",
    mirrors="imagenet_resnet",
    model=ResNet(blocks=(1, 1, 1), width=12, classes=CLASSES),
    dataset=glyphs,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=accuracy_metrics,
    batch_size=64,
    eval_batch_size=500,
    eval_every_steps=120,
)

glyphs_resnet_gelu = replace(
    glyphs_resnet,
    **numbers("pocket", "glyphs_resnet_gelu"),
    base="glyphs_resnet",
    model=replace(glyphs_resnet.model, activation=nn.gelu),
)

glyphs_resnet_large_bn_init = replace(
    glyphs_resnet,
    **numbers("pocket", "glyphs_resnet_large_bn_init"),
    base="glyphs_resnet",
    model=replace(glyphs_resnet.model, last_scale=8.0),
)
