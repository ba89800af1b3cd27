"""Few invented letters with a small Vision Transformer: AdamW needs weight decay for them.

A first convolution spares it the long start in which positions come to mean something.
"""

from dataclasses import replace

from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.glyphs import CLASSES, few_glyphs
from workloads.losses import accuracy_metrics, softmax_cross_entropy
from workloads.models.vit import ViT

glyphs_vit = Workload(
    **numbers("pocket", "glyphs_vit"),
    suite="pocket",
    mirrors="imagenet_vit",
    model=ViT(
        patch=2,
        width=32,
        depth=2,
        heads=4,
        classes=CLASSES,
        fixed_positions=True,
        representation=True,
        zero_head=True,
        stem=(16,),
    ),
    dataset=few_glyphs,
    loss_type=LossType.SOFTMAX_CROSS_ENTROPY,
    loss=softmax_cross_entropy,
    metrics=accuracy_metrics,
    batch_size=64,
    eval_batch_size=500,
    eval_every_steps=200,
)

glyphs_vit_post_ln = replace(
    glyphs_vit,
    **numbers("pocket", "glyphs_vit_post_ln"),
    base="glyphs_vit",
    model=replace(glyphs_vit.model, post_norm=True),
)

glyphs_vit_glu = replace(
    glyphs_vit,
    **numbers("pocket", "glyphs_vit_glu"),
    base="glyphs_vit",
    model=replace(glyphs_vit.model, glu=True),
)

glyphs_vit_map = replace(
    glyphs_vit,
    **numbers("pocket", "glyphs_vit_map"),
    base="glyphs_vit",
    model=replace(glyphs_vit.model, attention_pooling=True),
)
