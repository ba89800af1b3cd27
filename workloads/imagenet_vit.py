"""AlgoPerf's ImageNet workload with a Vision Transformer S/16 (Dahl et al. 2023)."""

from dataclasses import replace

from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.imagenet import imagenet_mixup
from workloads.losses import accuracy_metrics, softmax_cross_entropy
from workloads.models.vit import ViT

imagenet_vit = Workload(
    **numbers("v0.6", "imagenet_vit"),
    suite="full",
    model=ViT(
        patch=16,
        width=384,
        depth=12,
        heads=6,
        classes=1000,
        inner_dropout=True,
        fixed_positions=True,
        representation=True,
        zero_head=True,
    ),
    dataset=imagenet_mixup,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=accuracy_metrics,
    batch_size=1024,
    eval_batch_size=2048,
    eval_every_s=420.0,
    compile_counts=True,
)

imagenet_vit_glu = replace(
    imagenet_vit,
    **numbers("v0.6", "imagenet_vit_glu"),
    base="imagenet_vit",
    model=replace(imagenet_vit.model, glu=True),
    batch_size=512,
)

# The reference's JAX version of this one crashes; its target comes from the PyTorch version.
imagenet_vit_post_ln = replace(
    imagenet_vit,
    **numbers("v0.6", "imagenet_vit_post_ln"),
    base="imagenet_vit",
    model=replace(imagenet_vit.model, post_norm=True),
)

imagenet_vit_map = replace(
    imagenet_vit,
    **numbers("v0.6", "imagenet_vit_map"),
    base="imagenet_vit",
    model=replace(imagenet_vit.model, attention_pooling=True),
)
