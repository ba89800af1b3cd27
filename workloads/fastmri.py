"""AlgoPerf's reconstruction workload: fastMRI knees with a U-Net (Dahl et al. 2023)."""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.fastmri import fastmri as dataset
from workloads.losses import absolute_error
from workloads.metrics.ssim import ssim
from workloads.models.unet import UNet

fastmri = Workload(
    **numbers("v0.6", "fastmri"),
    suite="full",
    model=UNet(channels=32, pools=4),
    dataset=dataset,
    loss_type=LossType.MEAN_ABSOLUTE_ERROR,
    loss=absolute_error,
    metrics={"loss": Metric(absolute_error), "ssim": Metric(ssim)},
    batch_size=32,
    eval_batch_size=256,
    eval_every_s=80.0,
    compile_counts=True,
)

fastmri_model_size = replace(
    fastmri,
    **numbers("v0.6", "fastmri_model_size"),
    base="fastmri",
    model=replace(fastmri.model, channels=64, pools=3),
)

fastmri_tanh = replace(
    fastmri,
    **numbers("v0.6", "fastmri_tanh"),
    base="fastmri",
    model=replace(fastmri.model, activation=nn.tanh),
)

fastmri_layernorm = replace(
    fastmri,
    **numbers("v0.6", "fastmri_layernorm"),
    base="fastmri",
    model=replace(fastmri.model, layer_norm=True),
)
