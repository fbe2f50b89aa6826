"""Several processes train one network, on CPUs over gloo; `torchrun` tells them of one another."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kalamos.datasets import Dataset
from kalamos.datasets.dataset import prepare_split
from kalamos.errors import TrainingError
from kalamos.evaluation.calibration import negative_log_likelihood
from kalamos.learn import load_run
from kalamos.learn.distributed import Engine, choose_device, choose_precision, process_group
from kalamos.learn.loop import infer
from kalamos.learn.run import read_split
from kalamos.preprocessing import Preprocessor

Fork = Callable[..., Any]
Ranks = Callable[..., list[Any]]


def epochs_of(folder: Path) -> list[dict[str, float]]:
    with (folder / "log.csv").open() as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


@pytest.fixture
def ranks(kalamos: Fork) -> Ranks:
    """Start what `torchrun --nproc-per-node 2 -m kalamos ARGUMENTS` would."""

    def start(*arguments: object, world: int = 2) -> list[Any]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return [kalamos(*arguments, RANK=str(rank), LOCAL_RANK=str(rank), **common) for rank in range(world)]

    return start


@pytest.fixture
def options(digits_folder: Path) -> list[str]:
    return [
        *("mnist", "--epochs", "4", "--batch-size", "32", "--data-dir", str(digits_folder)),
        *("--device", "cpu", "--set", "amp=off"),
    ]


def assert_ended_well(runs: list[Any]) -> None:
    assert [run.wait() for run in runs] == [0] * len(runs), [run.err for run in runs]
    assert [run.err for run in runs] == [""] * len(runs)
    assert [run.out for run in runs[1:]] == [""] * (len(runs) - 1)


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        # The same images in the same batches: only the order of the sums differs.
        ("--arch cnn2 --optimizer sgd --lr 0.05 --augmentation mnist --set ema_decay=0.5", 1e-4),
        # Batch norm sees half of each batch in each process, which is a little more of a regulariser; and
        # on so few images the first epochs are rough.
        ("--arch kalamos_xs --optimizer sgd --lr 0.02", 0.15),
    ],
    ids=["without batch norm", "with batch norm"],
)
def test_two_processes_learn_as_one_does(
    kalamos: Fork, ranks: Ranks, options: list[str], tmp_path: Path, kind: str, tolerance: float
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    runs = ranks("train", *options, *kind.split(), "--run-dir", two)
    assert_ended_well(runs)
    assert_ended_well([kalamos("train", *options, *kind.split(), "--run-dir", one)])
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    assert len(list((two / "tensorboard").iterdir())) == 1
    for ours, theirs in zip(epochs_of(one), epochs_of(two), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=tolerance, abs=tolerance)
        assert ours["lr"] == theirs["lr"]
    weights = [load_run(folder).network.state_dict() for folder in (one, two)]
    if tolerance < 1e-3:
        for name, value in weights[0].items():
            np.testing.assert_allclose(value, weights[1][name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("kind", "world"),
    [("--set ema_decay=0.5", 3), ("--augmentation pens --set keep=best", 2)],
)
def test_every_image_counts_once_and_for_the_network_that_is_saved(
    ranks: Ranks, options: list[str], digits: Dataset, tmp_path: Path, kind: str, world: int
) -> None:
    folder = tmp_path / "run"
    odd = ["--set", "folds=7"]  # 300 / 7: 43 held out, which nothing divides
    kind += " --optimizer sgd --lr 0.05"
    runs = ranks("train", *options, *odd, *kind.split(), "--run-dir", folder, world=world)
    assert_ended_well(runs)
    run, split = load_run(folder), read_split(folder)
    assert run.val_count == len(split.val) == 43
    preprocessor = Preprocessor(run.recipe.preprocessing)
    held, _ = prepare_split(digits.train.take(split.val), preprocessor)
    logits = infer(run.network, preprocessor.batch(list(held.stack())))
    reported = run.epochs[run.kept_epoch - 1]
    right = (logits.argmax(1) == held.labels).mean()
    assert right == pytest.approx(run.val_accuracy, abs=1e-9)
    assert right == pytest.approx(reported.val_accuracy, abs=1e-9)
    assert negative_log_likelihood(logits, held.labels) == pytest.approx(reported.val_loss, rel=1e-4)


def test_early_stopping_stops_all(ranks: Ranks, options: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stop = ["--epochs", "30", "--lr", "1e-9", "--set", "patience=2", "--run-dir", folder]
    assert_ended_well(ranks("train", *options, *stop))
    assert 3 <= len(epochs_of(folder)) < 30


def test_killed_they_go_on_bit_for_bit(ranks: Ranks, options: list[str], tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kind = ["--set", "ema_decay=0.5", "--augmentation", "seed-arabic"]
    first = ranks("train", *options, *kind, "--run-dir", killed)
    end = time.monotonic() + 120
    while not (killed / "log.csv").exists():
        assert time.monotonic() < end
        time.sleep(0.002)
    for run in first:
        run.process.kill()
    assert [run.wait() for run in first] == [-signal.SIGKILL] * 2
    assert_ended_well(ranks("train", "--resume", killed, *options[5:9]))
    assert_ended_well(ranks("train", *options, *kind, "--run-dir", whole))
    for name in ("model", "best"):
        ours, theirs = ((folder / f"{name}.safetensors").read_bytes() for folder in (killed, whole))
        assert ours == theirs


def test_a_loss_that_is_not_a_number_ends_all(ranks: Ranks, options: list[str], tmp_path: Path) -> None:
    runs = ranks("train", *options, "--optimizer", "sgd", "--lr", "1e6", "--run-dir", tmp_path / "run")
    assert [run.wait() for run in runs] == [1, 1]
    assert runs[0].err.startswith("kalamos: the ")


def test_a_folder_in_the_way_ends_all_at_once(ranks: Ranks, options: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    runs = ranks("train", *options, "--run-dir", tmp_path)
    assert [run.wait(20) for run in runs] == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_torchrun_itself(options: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "kalamos", "train", *options, "--arch", "cnn2", "--run-dir", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        try:
            out, err = run.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            raise
    assert run.returncode == 0, err
    assert not [word for word in ("Traceback", "arning", "rror") if word in err], err
    assert [line.split()[0] for line in out.splitlines()] == [
        *("10", "cnn2:", "epoch", "epoch", "epoch", "epoch", "validation", "next:")
    ]
    assert load_run(folder).val_count == 30


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
