"""Everything that a trial is, as arrays and JSON, and brought back bit for bit.

Not orbax: a checkpoint has to keep what a submission may have in its state (the implementation of a
random key, weak types, Python's numbers, fields that jax does not see, a structure that changed
since the start) and is one small file, written in one move with the evaluations it belongs to.
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from algoperf import sharding
from algoperf.checkpoint_files import Unusable
from algoperf.contract import array_types
from algoperf.spec import Evaluation, TrainState

SKELETON = "skeleton"

_NUMPY_KINDS = "biufcmMSU"
_EXTENDED = 2
"""`isbuiltin` of the types that jax adds to NumPy's: bfloat16 and its like."""

Arrays = Mapping[str, np.ndarray]


class Unsavable(Exception):
    """A state that no checkpoint can hold; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a trial stands between two steps.

    Attributes:
        train: Parameters, model state and optimizer state.
        step: Updates done.
        keys: Pairs of random keys drawn.
        batches: Position of the stream of batches.
        evaluations: So far.
        accounts: The clock's, by name [s].
        submission_s: The part of them that counts [s].
        compile_s: Compilation [s].
        carried: What the manifest needs of the time before.
    """

    train: TrainState
    step: int
    keys: int
    batches: int
    evaluations: tuple[Evaluation, ...]
    accounts: Mapping[str, float]
    submission_s: float
    compile_s: float
    carried: Mapping[str, Any]


Packed = tuple[np.ndarray | None, dict[str, Any] | None]
"""A leaf's data and what else it is; no description if it can only be pickled."""


@dataclass(frozen=True)
class Apart:
    """A state taken apart.

    Attributes:
        leaves: Its leaves.
        packed: Those that are no plain arrays, by number.
        skeleton: What has to be pickled of it.
    """

    leaves: list[Any]
    packed: Mapping[int, Packed]
    skeleton: bytes | None


def taken_apart(train: TrainState, start: Any) -> Apart:
    """A state taken apart, so that nothing of it but plain arrays is left to look at.

    That is for the submission's clock: what its own classes define runs here, and only here.

    Args:
        train: Parameters, model state and optimizer state.
        start: Structure of the state that `init` makes (`jax.tree.structure`).

    Raises:
        Unsavable: If the state holds what cannot be kept.
    """
    leaves, structure = jax.tree.flatten(train)
    done = {number: _pack(leaf) for number, leaf in enumerate(leaves) if not _is_plain(leaf)}
    others = {number: leaves[number] for number, (_, about) in done.items() if about is None}
    same = _same(structure, start)
    if same and not others:
        return Apart(leaves, done, None)
    skeleton = None if same else jax.tree.unflatten(structure, range(len(leaves)))
    return Apart(leaves, done, _pickled((skeleton, others)))


def packed(
    point: Checkpoint, made_by: Mapping[str, Any], apart: Apart
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The checkpoint as arrays and JSON.

    Args:
        point: The checkpoint.
        made_by: What has to be the same where it is gone on with: submission, seed, versions, ...
        apart: Its state.

    Raises:
        Unsavable: If the state holds what cannot be kept.
    """
    arrays: dict[str, np.ndarray] = {}
    leaves: list[dict[str, Any] | None] = []
    for number, leaf in enumerate(apart.leaves):
        array, about = apart.packed[number] if number in apart.packed else _pack(leaf)
        if array is not None:
            arrays[str(number)] = array
        leaves.append(about)
    if apart.skeleton is not None:
        arrays[SKELETON] = np.frombuffer(apart.skeleton, np.uint8)
    facts = {field: value for field, value in vars(point).items() if field != "train"}
    return arrays, {
        **facts,
        "evaluations": [asdict(evaluation) for evaluation in point.evaluations],
        "made_by": made_by,
        "leaves": leaves,
    }


def restored(
    arrays: Arrays, facts: Mapping[str, Any], made_by: Mapping[str, Any], start: Any
) -> Checkpoint:
    """What `packed` was given, in a process that started as that one did.

    Raises:
        Unusable: If it was made by something else, or cannot be put together.
    """
    differing = [
        f"{name} was {facts['made_by'].get(name)}, is {value}"
        for name, value in made_by.items()
        if facts["made_by"].get(name) != value
    ]
    if differing:
        raise Unusable("; ".join(differing))
    skeleton, others = None, {}
    if SKELETON in arrays:
        skeleton, others = _unpickled(arrays[SKELETON].tobytes())
    structure = start if skeleton is None else jax.tree.structure(skeleton)
    leaves = [
        others[number] if about is None else _unpack(arrays.get(str(number)), about)
        for number, about in enumerate(facts["leaves"])
    ]
    if structure.num_leaves != len(leaves):
        raise Unusable(f"it holds {len(leaves)} arrays, `init` now makes {structure.num_leaves}")
    return Checkpoint(
        train=jax.tree.unflatten(structure, leaves),
        evaluations=tuple(Evaluation(**evaluation) for evaluation in facts["evaluations"]),
        **{
            name: facts[name]
            for name in Checkpoint.__dataclass_fields__
            if name not in ("train", "evaluations")
        },
    )


def _same(structure: Any, other: Any) -> bool:
    """Whether two tree structures are equal; their static fields may refuse to be compared."""
    try:
        return bool(structure == other)
    except Exception:  # noqa: BLE001 - other people's `__eq__`
        return False


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise Unsavable(f"a part of the state cannot be pickled: {error}") from error


def _unpickled(data: bytes) -> Any:
    try:
        # Written by a trial of this very file, which is run anyhow.
        return pickle.loads(data)  # noqa: S301 - see above
    except Exception as error:
        raise Unusable(f"a part of its state cannot be brought back: {error}") from error


def _is_plain(leaf: Any) -> bool:
    """Whether it is an array of numbers, which may be large, and of whose class nothing can run."""
    return type(leaf) in array_types() and _is_kept(leaf.dtype)


def _is_kept(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and (
        dtype.kind in _NUMPY_KINDS or dtype.isbuiltin == _EXTENDED
    )


def _pack(leaf: Any) -> Packed:
    if isinstance(leaf, jax.Array):
        place = _place(leaf)
        # This process's copy: whoever keeps a checkpoint computes nothing that others would have to
        # compute too.
        leaf = leaf if leaf.is_fully_addressable else leaf.addressable_data(0)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = jax.device_get(jax.random.key_data(leaf))
            return np.asarray(data), {"is": "key", "impl": str(jax.random.key_impl(leaf)), **place}
        about = {"is": "jax", "dtype": leaf.dtype.name, "weak": leaf.weak_type, **place}
        return np.asarray(jax.device_get(leaf)), about
    if isinstance(leaf, (np.ndarray, np.generic)):
        array = np.asarray(leaf)
        if _is_kept(array.dtype):
            kind = "numpy" if isinstance(leaf, np.ndarray) else "number"
            return array, {"is": kind, "dtype": array.dtype.name}
    if type(leaf) in (bool, int, float):
        return None, {"is": "python", "value": leaf}
    return None, None


def _unpack(array: np.ndarray | None, about: Mapping[str, Any]) -> Any:
    if about["is"] == "python":
        return about["value"]
    assert array is not None
    if about["is"] == "key":
        return _placed(jax.random.wrap_key_data(jnp.asarray(array), impl=about["impl"]), about)
    # NumPy keeps bfloat16 and its like as plain bytes.
    array = array.view(jnp.dtype(about["dtype"])) if array.dtype.kind == "V" else array
    if about["is"] == "number":
        return array[()]
    if about["is"] == "numpy":
        return array
    leaf = jnp.asarray(array)
    return _placed(_weak(leaf) if about["weak"] else leaf, about)


def _weak(array: jax.Array) -> jax.Array:
    """The array as if it came from Python's numbers: it takes the type of what it meets."""
    weak = jax.ShapeDtypeStruct(array.shape, array.dtype, weak_type=True)
    return jax.jit(jnp.copy).lower(weak).compile()(array)


def _place(leaf: jax.Array) -> dict[str, Any]:
    """Which devices hold the array, in a form that another process understands."""
    where = leaf.sharding
    if not leaf.committed:
        return {}
    if not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        raise Unsavable("an array of the state is spread over several hosts")
    if isinstance(where, NamedSharding) and where.mesh == sharding.mesh():
        return {"spec": [_axes(axis) for axis in where.spec]}
    if isinstance(where, SingleDeviceSharding) and jax.process_count() == 1:
        (device,) = where.device_set
        return {"device": jax.devices().index(device)}
    raise Unsavable(f"an array of the state is spread over the devices in its own way: {where}")


def _axes(axis: str | Sequence[str] | None) -> str | list[str] | None:
    return axis if axis is None or isinstance(axis, str) else list(axis)


def _placed(array: jax.Array, about: Mapping[str, Any]) -> jax.Array:
    if "spec" in about:
        axes = [tuple(axis) if isinstance(axis, list) else axis for axis in about["spec"]]
        return sharding.put(array, NamedSharding(sharding.mesh(), PartitionSpec(*axes)))
    if "device" in about:
        return jax.device_put(array, jax.devices()[about["device"]])
    return array
