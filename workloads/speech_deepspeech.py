"""A small relative of AlgoPerf's speech workload: synthesised speech with a recurrent network."""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.formants import LOG_MEL, OUTPUTS, detokenize
from workloads.datasets.formants import formants as dataset
from workloads.losses import ctc
from workloads.metrics.word_error_rate import word_error_rate
from workloads.models.deepspeech import DeepSpeech
from workloads.models.speech import SpecAugment

_augment = SpecAugment(bands=2, band_bins=5, stretches=2, stretch_frames=6)

speech_deepspeech = Workload(
    **numbers("pocket", "speech_deepspeech"),
    suite="pocket",
    mirrors="librispeech_deepspeech",
    model=DeepSpeech(
        vocabulary=OUTPUTS,
        width=32,
        recurrent=2,
        dense_layers=1,
        features=LOG_MEL,
        augment=_augment,
    ),
    dataset=dataset,
    loss_type=LossType.CTC_LOSS,
    loss=ctc,
    metrics={"ctc_loss": Metric(ctc), "wer": word_error_rate(detokenize)},
    batch_size=32,
    eval_batch_size=128,
    eval_every_steps=240,
)

speech_deepspeech_tanh = replace(
    speech_deepspeech,
    **numbers("pocket", "speech_deepspeech_tanh"),
    base="speech_deepspeech",
    model=replace(speech_deepspeech.model, activation=nn.tanh),
)

speech_deepspeech_no_resnet = replace(
    speech_deepspeech,
    **numbers("pocket", "speech_deepspeech_no_resnet"),
    base="speech_deepspeech",
    model=replace(speech_deepspeech.model, residual=False),
)

speech_deepspeech_norm_and_spec_aug = replace(
    speech_deepspeech,
    **numbers("pocket", "speech_deepspeech_norm_and_spec_aug"),
    base="speech_deepspeech",
    model=replace(
        speech_deepspeech.model,
        batch_norm=False,
        output_norm=False,
        augment=replace(_augment, bands=4, stretches=3),
    ),
)
