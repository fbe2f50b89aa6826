"""What the loop runs on: a device, its precision, and the other processes that `torchrun` started.

PyTorch's own autocast, gradient scaler and DistributedDataParallel. Accelerate wraps the same three,
but keeps one precision a process (so that networks trained one after the other cannot differ in it)
and replaces the network's `forward`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from kalamos.errors import TrainingError

__all__ = ["Engine", "choose_device", "choose_precision", "process_group"]


def choose_device(asked: str) -> str:
    """`auto`, `cpu` or `cuda` -> `cpu` or `cuda`, under torchrun `cuda:LOCAL_RANK`.

    Raises:
        TrainingError: CUDA was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise TrainingError("PyTorch sees no CUDA device", remedy="use --device cpu")
    if asked == "cpu" or not available:
        return "cpu"
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if local is not None else "cuda"


def choose_precision(asked: str, device: str, network: nn.Module) -> torch.dtype | None:
    """`auto`, `off`, `bf16` or `fp16` -> what autocast computes in; None for plain fp32.

    `auto` takes bf16 where it is faster: on a GPU that has it (fp16 on others), and on a CPU with
    AMX or AVX512-bf16 unless the network's convolutions are depthwise.

    Raises:
        TrainingError: fp16 on a CPU, whose gradients would vanish without a scaler.
    """
    on_cpu = device == "cpu"
    if asked == "fp16" and on_cpu:
        raise TrainingError("fp16 is for CUDA devices", remedy='use amp = "bf16" or "off" on a CPU')
    if asked == "off":
        return None
    if asked in {"bf16", "fp16"}:
        return torch.bfloat16 if asked == "bf16" else torch.float16
    if not on_cpu:
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    features: Mapping[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # older PyTorch has no such function
    depthwise = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in network.modules())
    capable = features.get("amx_bf16") or features.get("avx512_bf16")
    return torch.bfloat16 if capable and not depthwise else None


@dataclass(frozen=True)
class Engine:
    """One process's view of the machine."""

    device: str = "cpu"
    precision: torch.dtype | None = None
    rank: int = 0
    world: int = 1
    scaler: torch.amp.GradScaler = field(init=False)

    def __post_init__(self) -> None:
        scaler = torch.amp.GradScaler(self.kind, enabled=self.precision is torch.float16)
        object.__setattr__(self, "scaler", scaler)

    @property
    def kind(self) -> str:
        return self.device.partition(":")[0]

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[object]:
        if self.precision is None:
            return nullcontext()
        return torch.autocast(self.kind, dtype=self.precision)

    def wrap_ddp(self, network: nn.Module) -> nn.Module:
        """The network, its gradients averaged over the processes if there are several."""
        if self.world == 1:
            return network
        return DistributedDataParallel(network)

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Give all processes the first one's batch-norm statistics: each gathers them from its own images."""
        if self.world > 1:
            for statistic in network.buffers():
                distributed.broadcast(statistic, src=0)

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same in each."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values


@contextmanager
def process_group(device: str) -> Iterator[tuple[int, int]]:
    """Join the processes that `torchrun` started, if it did; yields (rank, world)."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or not distributed.is_available():
        yield 0, 1
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield distributed.get_rank(), world
    finally:
        # Without it the process aborts at exit.
        distributed.destroy_process_group()
