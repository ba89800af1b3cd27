"""AlgoPerf's speech workload: LibriSpeech with a recurrent network (Dahl et al. 2023)."""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.librispeech import detokenize
from workloads.datasets.librispeech import librispeech as dataset
from workloads.losses import ctc
from workloads.metrics.word_error_rate import word_error_rate
from workloads.models.deepspeech import DeepSpeech
from workloads.models.speech import SpecAugment

librispeech_deepspeech = Workload(
    **numbers("v0.6", "librispeech_deepspeech"),
    suite="full",
    # The reference's JAX version keeps its own rate in the dense layers, whatever is asked for.
    model=DeepSpeech(vocabulary=1024, width=512, recurrent=6, dense_layers=3),
    dataset=dataset,
    loss_type=LossType.CTC_LOSS,
    loss=ctc,
    metrics={"ctc_loss": Metric(ctc), "wer": word_error_rate(detokenize)},
    batch_size=256,
    eval_batch_size=256,
    eval_every_s=1440.0,
    compile_counts=True,
)

librispeech_deepspeech_tanh = replace(
    librispeech_deepspeech,
    **numbers("v0.6", "librispeech_deepspeech_tanh"),
    base="librispeech_deepspeech",
    model=replace(librispeech_deepspeech.model, activation=nn.tanh),
)

librispeech_deepspeech_no_resnet = replace(
    librispeech_deepspeech,
    **numbers("v0.6", "librispeech_deepspeech_no_resnet"),
    base="librispeech_deepspeech",
    model=replace(librispeech_deepspeech.model, residual=False),
)

librispeech_deepspeech_norm_and_spec_aug = replace(
    librispeech_deepspeech,
    **numbers("v0.6", "librispeech_deepspeech_norm_and_spec_aug"),
    base="librispeech_deepspeech",
    model=replace(
        librispeech_deepspeech.model,
        batch_norm=False,
        output_norm=False,
        augment=SpecAugment(bands=4, stretches=15),
    ),
    eval_batch_size=128,
)
