"""From candidate pairs to clusters of near duplicates: check each edge, then join."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from training.corpus.minhash import MARGIN, NUM_PERMUTATIONS, THRESHOLD, estimates

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Components(NamedTuple):
    """Which cluster each node belongs to, in the order of the nodes."""

    node: NDArray[np.int64]
    """Every node that some edge names, once, ascending."""
    root: NDArray[np.int64]
    """The smallest node of the cluster."""


def verified(edges: pa.Table, threshold: float = THRESHOLD) -> pa.Table:
    """Return the edges whose signatures agree, with their `estimate` (float64) as a last column.

    Without this check, chains of unlike files grow into one cluster.

    Args:
        edges: Columns `a` and `b`, and their compact signatures `signature_a` and `signature_b`
            (binary, one byte a slot). The signatures are not returned.
        threshold: Least Jaccard similarity, 0 to 1; an estimate must exceed it by `MARGIN`, but
            none need be more than 1.
    """
    rows_a, rows_b = (_rows(edges[name]) for name in ("signature_a", "signature_b"))
    similarity = estimates(rows_a, rows_b)
    checked = edges.drop_columns(["signature_a", "signature_b"]).append_column(
        pa.field("estimate", pa.float64(), nullable=False), pa.array(similarity)
    )
    return checked.filter(pa.array(similarity >= min(threshold + MARGIN, 1.0)))


def _rows(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Return a matrix with a row for each signature of a column."""
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(column), NUM_PERMUTATIONS)


def components(a: NDArray[np.int64], b: NDArray[np.int64]) -> Components:
    """Return the connected components of a graph; memory is linear in its edges.

    The result does not depend on the order or direction of the edges.

    Args:
        a: One end of each edge.
        b: The other end.

    Source: Shiloach and Vishkin 1982, "An O(log n) parallel connectivity algorithm", in the form
    that hooks each tree to its smallest neighbour, https://doi.org/10.1016/0196-6774(82)90008-6
    """
    node, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    ends = index.reshape(2, -1)
    parent = np.arange(len(node))
    while ends.size:
        # The ends of the remaining edges are roots, so that hooking one takes its whole tree along.
        np.minimum.at(parent, ends.max(axis=0), ends.min(axis=0))
        parent = _flattened(parent)
        ends = parent[ends]
        ends = ends[:, ends[0] != ends[1]]
    return Components(node, node[parent])


def _flattened(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the root of every node; a parent is never greater than its child."""
    while True:
        grandparent = parent[parent]
        if np.array_equal(grandparent, parent):
            return parent
        parent = grandparent
