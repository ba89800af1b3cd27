"""The pocket relative of AlgoPerf's reconstruction: ellipse phantoms with a U-Net."""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.phantoms import phantoms as dataset
from workloads.losses import absolute_error
from workloads.metrics.ssim import ssim
from workloads.models.unet import UNet

phantoms = Workload(
    **numbers("pocket", "phantoms"),
    suite="pocket",
    mirrors="fastmri",
    model=UNet(channels=8, pools=2),
    dataset=dataset,
    loss_type=LossType.MEAN_ABSOLUTE_ERROR,
    loss=absolute_error,
    metrics={"loss": Metric(absolute_error), "ssim": Metric(ssim)},
    batch_size=16,
    eval_batch_size=128,
    eval_every_steps=220,
)

phantoms_model_size = replace(
    phantoms,
    **numbers("pocket", "phantoms_model_size"),
    base="phantoms",
    model=replace(phantoms.model, channels=16, pools=1),
)

phantoms_tanh = replace(
    phantoms,
    **numbers("pocket", "phantoms_tanh"),
    base="phantoms",
    model=replace(phantoms.model, activation=nn.tanh),
)

phantoms_layernorm = replace(
    phantoms,
    **numbers("pocket", "phantoms_layernorm"),
    base="phantoms",
    model=replace(phantoms.model, layer_norm=True),
)
