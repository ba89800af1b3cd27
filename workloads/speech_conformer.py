"""A small relative of AlgoPerf's speech workload: synthesised speech with a Conformer."""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.formants import LOG_MEL, OUTPUTS, detokenize
from workloads.datasets.formants import formants as dataset
from workloads.losses import ctc
from workloads.metrics.word_error_rate import word_error_rate
from workloads.models.conformer import Conformer
from workloads.models.speech import SpecAugment

speech_conformer = Workload(
    **numbers("pocket", "speech_conformer"),
    suite="pocket",
    mirrors="librispeech_conformer",
    model=Conformer(
        vocabulary=OUTPUTS,
        width=32,
        heads=4,
        blocks=2,
        features=LOG_MEL,
        augment=SpecAugment(bands=2, band_bins=5, stretches=2, stretch_frames=6),
    ),
    dataset=dataset,
    loss_type=LossType.CTC_LOSS,
    loss=ctc,
    metrics={"ctc_loss": Metric(ctc), "wer": word_error_rate(detokenize)},
    batch_size=32,
    eval_batch_size=128,
    eval_every_steps=160,
)

speech_conformer_attention_temperature = replace(
    speech_conformer,
    **numbers("pocket", "speech_conformer_attention_temperature"),
    base="speech_conformer",
    model=replace(speech_conformer.model, temperature=1.6),
)

speech_conformer_layernorm = replace(
    speech_conformer,
    **numbers("pocket", "speech_conformer_layernorm"),
    base="speech_conformer",
    model=replace(speech_conformer.model, post_block_norm=False),
)

speech_conformer_gelu = replace(
    speech_conformer,
    **numbers("pocket", "speech_conformer_gelu"),
    base="speech_conformer",
    model=replace(speech_conformer.model, activation=nn.gelu),
)
