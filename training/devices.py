"""The devices of a run: one process each, started by hand or by `torchrun`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from fimble.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """This process among the processes of the run."""

    device: torch.device
    index: int
    count: int
    control: dist.ProcessGroup | None
    """Group on the CPU for decisions: it never waits for the device."""

    @classmethod
    def start(cls) -> Devices:
        """Join the processes that `torchrun` started; alone without it."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        index = int(os.environ.get("RANK", "0"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        is_cuda = torch.cuda.is_available()
        device = torch.device("cuda", local) if is_cuda else torch.device("cpu")
        if is_cuda:
            torch.cuda.set_device(device)
            torch.set_float32_matmul_precision("high")
        control: dist.ProcessGroup | None = None
        if count > 1:
            dist.init_process_group("nccl" if is_cuda else "gloo")
            group = dist.new_group(backend="gloo")
            assert isinstance(group, dist.ProcessGroup)
            control = group
        return cls(device=device, index=index, count=count, control=control)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.index == 0

    def sum_gradients(self, model: nn.Module) -> list[Tensor]:
        """Replace each gradient by its sum over the devices, in one transfer; return them."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if self.count == 1:
            return gradients
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        offset = 0
        for gradient in gradients:
            gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
            offset += gradient.numel()
        return gradients

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over the devices."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def share(self, num_rows: int) -> int:
        """Return how many of `num_rows` rows each device takes.

        Raises:
            ConfigError: They cannot be shared out.
        """
        if num_rows % self.count:
            raise ConfigError(
                f"batch.rows is {num_rows}; it must be a multiple of the {self.count} devices"
            )
        return num_rows // self.count

    def broadcast(self, value: float) -> float:
        """Return the first process's value: all must decide alike what follows from the clock."""
        if self.count == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(tensor, src=0, group=self.control)
        return float(tensor.item())

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier(group=self.control)

    def close(self) -> None:
        """Leave the group."""
        if self.count > 1:
            dist.destroy_process_group()
