"""Encoder-decoder Transformer for translation, with one table for inputs, targets and logits.

Vaswani et al. 2017, arXiv:1706.03762, with the normalisation before each branch (Xiong et al.
2020, arXiv:2002.04745) unless asked for after it.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from algoperf.spec import Batch
from workloads.models.layers import (
    Activation,
    Attention,
    embedding,
    layer_norm,
    mlp,
    sinusoids,
)

_glorot = nn.initializers.xavier_uniform()


def shifted_right(targets: jax.Array, segments: jax.Array | None) -> jax.Array:
    """What the decoder reads: the targets one place later; 0 where a sequence begins.

    Args:
        targets: int (batch, length).
        segments: int (batch, length), the sequence in which each place lies; None if there is one.
    """
    before = jnp.pad(targets[:, :-1], ((0, 0), (1, 0)))
    if segments is None:
        return before
    # The last token of one sequence says nothing about the next.
    return jnp.where(segments == jnp.pad(segments[:, :-1], ((0, 0), (1, 0))), before, 0)


def _mask(queries: jax.Array | None, keys: jax.Array, real: jax.Array) -> jax.Array:
    """True (batch, 1, queries, keys) for real keys; of the query's own segment, if there are."""
    seen = real[:, None, None, :]
    if queries is None:
        return seen
    return seen & (queries[:, None, :, None] == keys[:, None, None, :])


class Layer(nn.Module):
    """Self-attention, in the decoder also attention to the encoder's output, then an MLP.

    Fields as in `Transformer`.
    """

    heads: int
    mlp_width: int
    activation: Activation
    glu: bool
    post_norm: bool
    temperature: float
    dropout_rate: float
    decoder: bool

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array,
        encoded: jax.Array | None,
        encoded_mask: jax.Array | None,
        train: bool,
        **decoding: Any,
    ) -> jax.Array:
        def drop(y: jax.Array) -> jax.Array:
            return nn.Dropout(self.dropout_rate, deterministic=not train)(y)

        def attention(name: str) -> Attention:
            return Attention(
                self.heads,
                bias=False,
                temperature=self.temperature,
                dropout_rate=self.dropout_rate,
                name=name,
            )

        def feed_forward(y: jax.Array) -> jax.Array:
            return mlp(
                y,
                self.mlp_width,
                self.activation,
                glu=self.glu,
                kernel_init=_glorot,
                bias_init=nn.initializers.normal(1e-6),
                dropout=drop,
            )

        def with_shortcut(x: jax.Array, branch: Callable[[jax.Array], jax.Array]) -> jax.Array:
            if self.post_norm:
                return layer_norm()(x + drop(branch(x)))
            return x + drop(branch(layer_norm()(x)))

        own, other = attention("self_attention"), attention("cross_attention")
        x = with_shortcut(x, lambda y: own(y, mask=mask, train=train, **decoding))
        if self.decoder:
            x = with_shortcut(x, lambda y: other(y, encoded, encoded_mask, train=train))
        return with_shortcut(x, feed_forward)


class Transformer(nn.Module):
    """`inputs` and `targets`, int32 (batch, length), 0 for padding, to logits of the targets.

    Logits are float32 (batch, length, vocabulary). Where the batch has `inputs_positions`,
    `inputs_segments`, `targets_positions` and `targets_segments`, int32 (batch, length), several
    sequences are packed into a row and do not see each other.

    Attributes:
        vocabulary: Number of tokens.
        width: Features of a token.
        heads: Attention heads.
        layers: Layers of the encoder, and of the decoder.
        mlp_width: Hidden features of the MLPs.
        max_length: Longest sequence.
        activation: Inside the MLP.
        glu: The MLP is gated.
        post_norm: Normalise after the shortcut instead of before the branch.
        temperature: Factor of attention logits.
        dropout_rate: Of embeddings, branches, hidden features and attention, in training.
    """

    vocabulary: int
    width: int
    heads: int
    layers: int
    mlp_width: int
    max_length: int = 256
    activation: Activation = nn.relu
    glu: bool = False
    post_norm: bool = False
    temperature: float = 1.0
    dropout_rate: float = 0.1

    def setup(self) -> None:
        self.table = embedding(self.vocabulary, self.width, nn.initializers.normal(1.0))
        self.encoder = [self._layer(decoder=False) for _ in range(self.layers)]
        self.decoder = [self._layer(decoder=True) for _ in range(self.layers)]
        if not self.post_norm:
            self.encoder_norm = layer_norm()
            self.decoder_norm = layer_norm()
        self.input_dropout = nn.Dropout(self.dropout_rate)

    def _layer(self, *, decoder: bool) -> Layer:
        return Layer(
            self.heads,
            self.mlp_width,
            self.activation,
            self.glu,
            self.post_norm,
            self.temperature,
            self.dropout_rate,
            decoder,
        )

    def __call__(self, batch: Batch, train: bool) -> jax.Array:
        encoded = self.encode(batch, train)
        targets, segments = batch["targets"], batch.get("targets_segments")
        mask = _mask(segments, targets if segments is None else segments, targets > 0)
        causal = np.tri(targets.shape[1], dtype=bool)[None, None]
        y = self._embedded(shifted_right(targets, segments), batch.get("targets_positions"), train)
        seen = self._source_mask(batch)
        for layer in self.decoder:
            y = layer(y, mask & causal, encoded, seen, train)
        return self._logits(y)

    def encode(self, batch: Batch, train: bool) -> jax.Array:
        """The encoder's output, (batch, length, width)."""
        inputs, segments = batch["inputs"], batch.get("inputs_segments")
        mask = _mask(segments, inputs if segments is None else segments, inputs > 0)
        x = self._embedded(inputs, batch.get("inputs_positions"), train)
        for layer in self.encoder:
            x = layer(x, mask, None, None, train)
        return x if self.post_norm else self.encoder_norm(x)

    def decode(
        self, encoded: jax.Array, real: jax.Array, tokens: jax.Array, position: jax.Array
    ) -> jax.Array:
        """Logits of one next token; keeps keys and values in the `cache` collection.

        Args:
            encoded: The encoder's output, (batch, length, width).
            real: bool (batch, length), False on the inputs' padding.
            tokens: int32 (batch,), the token before; 0 at the start.
            position: int32 scalar, the place of the token to be predicted, from 0.

        Returns:
            (batch, vocabulary).
        """
        places = jnp.broadcast_to(position, (len(tokens), 1))
        y = self._embedded(tokens[:, None], places, train=False)
        mask = (jnp.arange(self.max_length) <= position)[None, None, None]
        seen = real[:, None, None, :]
        for layer in self.decoder:
            y = layer(y, mask, encoded, seen, False, position=position, length=self.max_length)
        return self._logits(y)[:, 0]

    def _source_mask(self, batch: Batch) -> jax.Array:
        """Which inputs each target may look at, (batch, 1, targets or 1, inputs)."""
        inputs, segments = batch["inputs"], batch.get("inputs_segments")
        if segments is None:
            return _mask(None, inputs, inputs > 0)
        return _mask(batch["targets_segments"], segments, inputs > 0)

    def _embedded(self, tokens: jax.Array, positions: jax.Array | None, train: bool) -> jax.Array:
        table = jnp.asarray(sinusoids(self.max_length, self.width))
        places = table[None, : tokens.shape[1]] if positions is None else table[positions]
        return self.input_dropout(self.table(tokens) + places, deterministic=not train)

    def _logits(self, y: jax.Array) -> jax.Array:
        y = y if self.post_norm else self.decoder_norm(y)
        return self.table.attend(y) / np.sqrt(self.width).astype(np.float32)
