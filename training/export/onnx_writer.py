"""Nodes and initializers of a graph, as they are added."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.export.onnx_weights import SCALES_SUFFIX
from training.export.quantise import Quantised, zero_point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.export.quantise import Matrix

CONTRIB = "com.microsoft"
_INT8_ACTIVATIONS = 4  # `accuracy_level` of MatMulNBits: multiply in int8, sum in int32


@dataclass(slots=True, kw_only=True)
class GraphWriter:
    """Collects a graph; every method returns the name of what it added."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def node(
        self,
        op: str,
        inputs: list[str],
        *,
        outputs: tuple[str, ...] = (),
        domain: str = "",
        **attributes: int | float,
    ) -> str:
        """Add a node; return its first output, which gets a name of its own if none is given."""
        names = outputs or (f"{op}_{len(self.nodes)}",)
        node = helper.make_node(op, inputs, list(names), name=f"node_{names[0]}", domain=domain)
        node.attribute.extend(helper.make_attribute(key, attributes[key]) for key in attributes)
        self.nodes.append(node)
        return names[0]

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        """Add an initializer, once for all its users."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def indices(self, *values: int) -> str:
        """Add a one-dimensional int64 constant."""
        return self.constant(f"indices_{'_'.join(map(str, values))}", np.array(values, np.int64))

    def matrix(self, name: str, matrix: Matrix) -> list[str]:
        """Add a matrix; return the name of its values and, where it is quantised, its scales."""
        if not isinstance(matrix, Quantised):
            return [self.constant(name, matrix)]
        return [
            self.constant(name, matrix.packed()),
            self.constant(name + SCALES_SUFFIX, matrix.scales),
        ]

    def product(self, hidden: str, name: str, matrix: Matrix, *, output: str = "") -> str:
        """Add `hidden` times the transposed matrix, as `torch.nn.Linear` computes it."""
        stored = self.matrix(name, matrix)
        rows, columns = matrix.shape
        outputs = (output,) if output else ()
        if not isinstance(matrix, Quantised):
            return self.node(
                "FusedMatMul", [hidden, *stored], outputs=outputs, domain=CONTRIB, transB=1
            )
        return self.node(
            "MatMulNBits",
            [hidden, *stored],
            outputs=outputs,
            domain=CONTRIB,
            K=columns,
            N=rows,
            bits=matrix.bits,
            block_size=matrix.block_size,
            accuracy_level=_INT8_ACTIVATIONS,
        )

    def rows(self, name: str, matrix: Matrix, token_ids: str) -> str:
        """Add the rows of a matrix that `token_ids` names, in float32.

        A quantised row is restored with plain operators: `GatherBlockQuantized` wants another
        layout than `MatMulNBits`, hence a second copy of a tied embedding.
        """
        stored = self.matrix(name, matrix)
        values = self.node("Gather", [stored[0], token_ids])
        if not isinstance(matrix, Quantised):
            return values
        assert matrix.bits == 8, "an embedding is stored in 8 bits"
        zero = self.constant("zero_point", np.array(zero_point(8), np.float32))
        levels = self.node("Sub", [self.node("Cast", [values], to=TensorProto.FLOAT), zero])
        scales = self.node("Gather", [stored[1], token_ids])
        scaled = self.node("Mul", [levels, self.node("Unsqueeze", [scales, self.indices(-1)])])
        padded = matrix.scales.shape[1] * matrix.block_size
        flat = self.node("Reshape", [scaled, self.indices(1, -1, padded)])
        if padded == matrix.shape[1]:
            return flat
        bounds = [self.indices(0), self.indices(matrix.shape[1]), self.indices(-1)]
        return self.node("Slice", [flat, *bounds])
