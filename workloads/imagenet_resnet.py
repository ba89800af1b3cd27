"""AlgoPerf's ImageNet workload with a ResNet-50 (Dahl et al. 2023)."""

from dataclasses import replace

import flax.linen as nn

from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.imagenet import imagenet
from workloads.losses import accuracy_metrics, softmax_cross_entropy
from workloads.models.resnet import ResNet

imagenet_resnet = Workload(
    **numbers("v0.6", "imagenet_resnet"),
    suite="full",
    model=ResNet(
        blocks=(3, 4, 6, 3),
        width=64,
        classes=1000,
        bottleneck=True,
        large_images=True,
        head_init=nn.initializers.normal(0.01),
    ),
    dataset=imagenet,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=accuracy_metrics,
    batch_size=1024,
    eval_batch_size=1024,
    eval_every_s=510.0,
    compile_counts=True,
)

imagenet_resnet_silu = replace(
    imagenet_resnet,
    **numbers("v0.6", "imagenet_resnet_silu"),
    base="imagenet_resnet",
    model=replace(imagenet_resnet.model, activation=nn.silu),
    batch_size=512,
)

imagenet_resnet_gelu = replace(
    imagenet_resnet,
    **numbers("v0.6", "imagenet_resnet_gelu"),
    base="imagenet_resnet",
    model=replace(imagenet_resnet.model, activation=nn.gelu),
    batch_size=512,
)

imagenet_resnet_large_bn_init = replace(
    imagenet_resnet,
    **numbers("v0.6", "imagenet_resnet_large_bn_init"),
    base="imagenet_resnet",
    model=replace(imagenet_resnet.model, last_scale=8.0),
)
