"""Random molecule-like graphs, and which of 32 small structures each contains.

A molecule grows atom by atom, to 8 to 16 of them. The first is C, the others are drawn from C, N,
O, S, F and B with shares 0.5, 0.16, 0.14, 0.08, 0.07 and 0.05; they can hold 4, 3, 2, 2, 1 and 3
bonds. Each is bonded to one of the three atoms before it that has a bond free, or else to any that
has; where none has, the molecule ends. A bond is double with probability 0.25, of which a fifth
is triple, as far as both atoms can hold it. Then, twice and each time with probability 0.6, two
atoms with a bond free that are 4 or 5 bonds apart are bonded, if there are such: that closes a ring
of 5 or 6, and no ring is shorter than 5.

A label says whether a structure of `STRUCTURES` occurs, in either direction of reading: a path of
two or three bonds along different atoms, or a bond whose first atom, in lower case, lies on a ring
of 5. Most labels are 0. Each is wrong with probability `NOISE`, in every split, and then unknown
with probability `UNKNOWN`. A molecule that is written like one before it is left out.
"""

import jax
import jax.numpy as jnp
import numpy as np

from algoperf.data import Arrays
from algoperf.spec import Batch, Split
from workloads.datasets.generated import Splits, generated, joined, with_eval_train

ATOMS, BONDS = 16, 18
"""Room for each molecule: 15 bonds of the tree that grows, one of them spare, and two of rings."""
ELEMENTS = "CNOSFB"
ORDERS = "-=#"
NOISE = 0.02
UNKNOWN = 0.3
STRUCTURES = (
    *("C-O-N", "C=C-N", "F-C-S", "B-C-F", "N-C-N", "C-S-O", "O-C-O", "C-N-N", "C-B-O", "C-C=N"),
    *("B=C-C-C", "C=C-N-N", "N-C-O-N", "B-C=C-C", "C-N-S-C", "F-C-C-O", "C-N-C-S"),
    *("N-C-C-N", "N-C-C=N", "N-C-N-O", "C-N-N=C", "C-C-C=S", "O-C-C=O", "C-B-C=C"),
    *("c-F", "c=N", "n-N", "n-O", "n=C", "s-C", "b-C", "o-N"),
)
COUNTS = {Split.TRAIN: 200_000, Split.VALIDATION: 1000, Split.TEST: 1000}

_SEED = 20
_SHARES = (0.5, 0.16, 0.14, 0.08, 0.07, 0.05)
_VALENCES = np.array([0, 4, 3, 2, 2, 1, 3], np.int8)  # of no atom, then of each element
_AT_ONCE = 4096  # as many as a core's cache holds


def molecules_of(count: int, rng: np.random.Generator) -> Arrays:
    """Rows as they are stored.

    Returns:
        `atoms` uint8 (count, 16): element from 1, 0 for none; `bonds` uint8 (count, 18, 3): two
        places of atoms and the order, 0 for none; `labels` int8 (count, 32): 0, 1, or -1 where
        unknown.
    """
    starts = range(0, count, _AT_ONCE)
    return joined([_labelled(min(_AT_ONCE, count - start), rng) for start in starts])


def _labelled(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    atoms, orders = _grown(count, rng)
    labels = structures_in(atoms, orders) ^ (rng.random((count, len(STRUCTURES))) < NOISE)
    known = rng.random(labels.shape) >= UNKNOWN
    return {
        "atoms": atoms,
        "bonds": _listed(orders),
        "labels": np.where(known, labels, -1).astype(np.int8),
    }


def _grown(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Elements (count, 16) and orders of bonds (count, 16, 16), both 0 where there is none."""
    atoms = rng.choice(len(ELEMENTS), (count, ATOMS), p=_SHARES).astype(np.uint8) + np.uint8(1)
    atoms[:, 0] = 1
    atoms[np.arange(ATOMS) >= rng.integers(8, ATOMS + 1, (count, 1))] = 0
    free = _VALENCES[atoms]
    orders = np.zeros((count, ATOMS, ATOMS), np.uint8)
    for new in range(1, ATOMS):
        # Any before it with a bond free, the last three first.
        wish = rng.random((count, new)) + (np.arange(new) >= new - 3)
        place = np.where(free[:, :new] > 0, wish, -1).argmax(axis=1)
        bound = (atoms[:, new] > 0) & (free[np.arange(count), place] > 0)
        atoms[~bound, new:] = 0
        free[~bound, new:] = 0
        ends = place[bound], np.full(bound.sum(), new)
        _bond(orders, free, np.flatnonzero(bound), ends, rng)
    for _ in range(2):
        wish = rng.random((count, ATOMS, ATOMS)) + _may_close(orders, free)
        first, second = np.divmod(wish.reshape(count, -1).argmax(axis=1), ATOMS)
        closes = (wish.max(axis=(1, 2)) >= 1) & (rng.random(count) < 0.6)
        _bond(orders, free, np.flatnonzero(closes), (first[closes], second[closes]), rng)
    return atoms, orders


def _bond(
    orders: np.ndarray,
    free: np.ndarray,
    rows: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Bonds the two atoms `ends` of each of the molecules `rows`, in place."""
    one, other = ends
    draw = rng.random(len(rows))
    wanted = 1 + (draw < 0.25) + (draw < 0.05)
    order = np.minimum(wanted, np.minimum(free[rows, one], free[rows, other])).astype(np.int8)
    orders[rows, one, other] = orders[rows, other, one] = order
    free[rows, one] -= order
    free[rows, other] -= order


def _may_close(orders: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Whether a bond between two atoms closes a ring of 5 or 6, bool (count, 16, 16)."""
    step = (orders > 0).astype(np.float32) + np.eye(ATOMS, dtype=np.float32)
    within_2 = np.minimum(step @ step, 1)
    within_3 = within_2 @ step > 0
    within_5 = np.minimum(within_2 @ within_2, 1) @ step > 0
    open_ = free > 0
    return within_5 & ~within_3 & open_[:, :, None] & open_[:, None, :]


def _listed(orders: np.ndarray) -> np.ndarray:
    """Each bond once, uint8 (count, 18, 3)."""
    upper = np.triu(orders)
    rows, one, other = np.nonzero(upper)
    first = np.searchsorted(rows, np.arange(len(orders)))
    bonds = np.zeros((len(orders), BONDS, 3), np.uint8)
    bonds[rows, np.arange(len(rows)) - first[rows]] = np.stack(
        [one, other, upper[rows, one, other]], axis=-1
    )
    return bonds


def structures_in(atoms: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Which of `STRUCTURES` each molecule contains, bool (count, structures).

    Args:
        atoms: uint8 (count, 16).
        orders: uint8 (count, 16, 16).
    """
    bonded = (orders > 0).astype(np.float32)
    # There are no rings of 3, so a closed walk of five bonds goes once around a ring of 5.
    walks = bonded @ bonded @ bonded @ bonded
    in_ring = np.einsum("nij,nji->ni", walks, bonded) > 0
    # How many atoms of element b each atom is bonded to by bonds of order a: [a][b].
    kinds = np.stack([atoms == 1 + e for e in range(len(ELEMENTS))], axis=-1).astype(np.float32)
    around = [(orders == 1 + o).astype(np.float32) @ kinds for o in range(len(ORDERS))]
    return np.stack([_contains(s, atoms, orders, in_ring, around) for s in STRUCTURES], axis=-1)


def _contains(
    structure: str,
    atoms: np.ndarray,
    orders: np.ndarray,
    in_ring: np.ndarray,
    around: list[np.ndarray],
) -> np.ndarray:
    """Whether one structure occurs, bool (count,)."""
    elements = [ELEMENTS.index(letter.upper()) for letter in structure[::2]]
    bonds = [ORDERS.index(letter) for letter in structure[1::2]]
    if structure[0].islower():
        start = (atoms == 1 + elements[0]) & in_ring
        return (start & (around[bonds[0]][..., elements[1]] > 0)).any(axis=1)
    if len(elements) == 3:
        (left, middle, right), (one, other) = elements, bonds
        same = left == right and one == other
        ends = (around[one][..., left] >= 1 + same) & (around[other][..., right] >= 1)
        return ((atoms == 1 + middle) & ends).any(axis=1)
    (left, one, other, right), (before, between, after) = elements, bonds
    # The atom at the other end of the bond between is not the atom before it, or after it.
    first = around[before][..., left] >= 1 + (other == left and between == before)
    second = around[after][..., right] >= 1 + (one == right and between == after)
    first, second = first & (atoms == 1 + one), second & (atoms == 1 + other)
    joined = (orders == 1 + between) & first[:, :, None] & second[:, None, :]
    return joined.any(axis=(1, 2))


def _make() -> Splits:
    total = sum(COUNTS.values())
    rows = molecules_of(total + total // 50, np.random.default_rng(_SEED))
    # The smallest come more than once. 1.02 times as many are enough for all of the first kind.
    graphs = np.concatenate([rows["atoms"], rows["bonds"].reshape(len(rows["bonds"]), -1)], axis=1)
    _, first = np.unique(graphs, axis=0, return_index=True)
    kept = np.sort(first)[:total]
    splits, start = {}, 0
    for split, count in COUNTS.items():
        splits[split] = {name: array[kept[start : start + count]] for name, array in rows.items()}
        start += count
    return with_eval_train(splits)


def _flattened(rows: Batch) -> Batch:
    """One padded graph of all molecules; what is padding belongs to one past the last."""
    atoms, bonds, labels = rows["atoms"], rows["bonds"].astype(jnp.int32), rows["labels"]
    graphs = len(atoms)
    number = jnp.arange(graphs, dtype=jnp.int32)[:, None]
    ends = bonds[..., :2] + number[..., None] * ATOMS
    # A bond has no direction: it is there both ways.
    senders, receivers = (
        jnp.concatenate([ends[..., one], ends[..., 1 - one]], axis=1) for one in (0, 1)
    )
    orders = jnp.tile(bonds[..., 2], (1, 2))

    def owner(present: jax.Array) -> jax.Array:
        return jnp.where(present, number, graphs).reshape(-1)

    def one_hot(codes: jax.Array, kinds: int) -> jax.Array:
        return jax.nn.one_hot(codes.reshape(-1).astype(jnp.int32) - 1, kinds, dtype=jnp.float32)

    return {
        "nodes": one_hot(atoms, len(ELEMENTS)),
        "edges": one_hot(orders, len(ORDERS)),
        "senders": senders.reshape(-1),
        "receivers": receivers.reshape(-1),
        "node_graph": owner(atoms > 0),
        "edge_graph": owner(orders > 0),
        "targets": (labels == 1).astype(jnp.float32),
        "target_weights": (labels >= 0).astype(jnp.float32),
    }


molecules = generated(
    "molecules",
    _make,
    sha256="3d4bf6a8ce4ed5f49440327b7e0f67d507c38330bb09538043bd490f629e64b9",
    example={
        "atoms": jax.ShapeDtypeStruct((ATOMS,), np.uint8),
        "bonds": jax.ShapeDtypeStruct((BONDS, 3), np.uint8),
        "labels": jax.ShapeDtypeStruct((len(STRUCTURES),), np.int8),
    },
    prepare=_flattened,
)
"""A batch of B molecules: nodes float32 (16 B, 6), edges float32 (36 B, 3), senders, receivers and
edge_graph int32 (36 B,), node_graph int32 (16 B,), targets and target_weights float32 (B, 32), 0
where a label is unknown. Padding belongs to graph B."""
