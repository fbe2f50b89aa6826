from __future__ import annotations

import pytest
import torch
from torch import nn

from kalamos.errors import TrainingError
from kalamos.training.engine import Engine, choose_device, choose_precision, process_group

DENSE = nn.Conv2d(4, 4, 3)
DEPTHWISE = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if there were a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return monkeypatch


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(TrainingError, match="sees no CUDA device; use --device cpu"):
        choose_device("cuda")


def test_with_a_gpu(cuda: pytest.MonkeyPatch) -> None:
    cuda.delenv("LOCAL_RANK", raising=False)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"


def test_every_process_has_a_gpu_of_its_own(cuda: pytest.MonkeyPatch) -> None:
    cuda.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == choose_device("cuda") == "cuda:1"
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("features", "dense"),
    [
        ({}, None),
        ({"avx512_f": True, "amx_int8": True, "avx512_bf16": False}, None),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True}, torch.bfloat16),
    ],
)
def test_a_cpu_takes_bf16_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], dense: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert choose_precision("auto", "cpu", DENSE) is dense
    assert choose_precision("auto", "cpu", DEPTHWISE) is None
    assert choose_precision("bf16", "cpu", DEPTHWISE) is torch.bfloat16
    assert choose_precision("off", "cpu", DENSE) is None


def test_an_older_pytorch_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", "cpu", DENSE) is None


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(TrainingError, match='fp16 is for CUDA devices; use amp = "bf16" or "off" on a CPU'):
        choose_precision("fp16", "cpu", DENSE)


@pytest.mark.parametrize(("native", "taken"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_takes_bf16_unless_it_only_emulates_it(
    cuda: pytest.MonkeyPatch, native: bool, taken: torch.dtype
) -> None:
    cuda.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation
    )
    assert choose_precision("auto", "cuda", DEPTHWISE) is taken
    assert choose_precision("fp16", "cuda", DENSE) is torch.float16
    assert choose_precision("off", "cuda", DENSE) is None


def test_only_fp16_scales_its_loss() -> None:
    assert not Engine().scaler.is_enabled()
    assert not Engine(precision=torch.bfloat16).scaler.is_enabled()
    loss = torch.tensor(3.0)
    assert Engine().scaler.scale(loss) is loss


def test_autocast_is_for_what_is_inside_it() -> None:
    images = torch.zeros(1, 4, 8, 8)
    with Engine(precision=torch.bfloat16).autocast():
        assert DENSE(images).dtype is torch.bfloat16
    with Engine().autocast():
        assert DENSE(images).dtype is torch.float32


def test_one_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for set_to in (None, "1"):  # torchrun --nproc-per-node 1
        if set_to:
            monkeypatch.setenv("WORLD_SIZE", set_to)
        with process_group("cpu") as (rank, world):
            engine = Engine(rank=rank, world=world)
    assert engine.is_main
    assert engine.wrap_ddp(DENSE) is DENSE
    assert engine.all_reduce_sum(torch.tensor(2.0)) == 2
    engine.broadcast_buffers(DENSE)
