"""A record of several arrays as bytes, and back."""

from collections.abc import Mapping
from typing import Any

from flax import serialization


def to_bytes(record: Mapping[str, Any]) -> bytes:
    """Arrays, bytes and text by name, in msgpack."""
    return serialization.msgpack_serialize(dict(record))


def from_bytes(raw: bytes) -> Any:
    """What `to_bytes` was given: a dictionary."""
    return serialization.msgpack_restore(raw)
