"""AlgoPerf's speech workload: LibriSpeech with a Conformer (Dahl et al. 2023)."""

from dataclasses import replace

import flax.linen as nn

from algoperf.metric import Metric
from algoperf.spec import LossType
from algoperf.workload import Workload, numbers
from workloads.datasets.librispeech import detokenize
from workloads.datasets.librispeech import librispeech as dataset
from workloads.losses import ctc
from workloads.metrics.word_error_rate import word_error_rate
from workloads.models.conformer import Conformer

librispeech_conformer = Workload(
    **numbers("v0.6", "librispeech_conformer"),
    suite="full",
    model=Conformer(vocabulary=1024, width=512, heads=8, blocks=4),
    dataset=dataset,
    loss_type=LossType.CTC_LOSS,
    loss=ctc,
    metrics={"ctc_loss": Metric(ctc), "wer": word_error_rate(detokenize)},
    batch_size=256,
    eval_batch_size=256,
    eval_every_s=1440.0,
    compile_counts=True,
)

librispeech_conformer_attention_temperature = replace(
    librispeech_conformer,
    **numbers("v0.6", "librispeech_conformer_attention_temperature"),
    base="librispeech_conformer",
    model=replace(librispeech_conformer.model, temperature=1.6),
)

librispeech_conformer_layernorm = replace(
    librispeech_conformer,
    **numbers("v0.6", "librispeech_conformer_layernorm"),
    base="librispeech_conformer",
    model=replace(librispeech_conformer.model, post_block_norm=False),
)

librispeech_conformer_gelu = replace(
    librispeech_conformer,
    **numbers("v0.6", "librispeech_conformer_gelu"),
    base="librispeech_conformer",
    model=replace(librispeech_conformer.model, activation=nn.gelu),
)
