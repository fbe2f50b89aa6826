"""A run that is killed goes on as if nothing had happened: real processes, killed at arbitrary moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from kalamos.learn import load_run
from kalamos.learn.models import ARCHITECTURES

Fork = Callable[..., Any]

KINDS = {
    "one-cycle": "--optimizer sgd --lr 0.05 --schedule one-cycle --augmentation seed-arabic"
    " --set ema_decay=0.9 --set clean_epochs=1",
    "plateau": "--optimizer adamw --lr 0.003 --schedule plateau --set plateau_patience=0 --set patience=2"
    " --set keep=best --set epochs=12",
    "cosine": "--optimizer adamw --schedule cosine --augmentation pens --workers 2",
    "dropout": "--arch lenet_bn --optimizer adam --lr 0.003",
    "clipped": "--optimizer sgd --lr 0.1 --schedule step --set step_epochs=2 --set clip_norm=0.5",
    "averaged": "--weights digits --optimizer sgd --lr 0.05 --set weights_share=0.5",
}


def epochs_done(folder: Path) -> int:
    try:
        return (folder / "log.csv").read_text().count("\n") - 1
    except FileNotFoundError:
        return 0


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def outcome(folder: Path) -> tuple[bytes, bytes, list[list[str]]]:
    """The weights that count, the best ones, and the log without what a clock has measured."""
    rows = [line.split(",")[:5] for line in (folder / "log.csv").read_text().splitlines()]
    return (folder / "model.safetensors").read_bytes(), (folder / "best.safetensors").read_bytes(), rows


@pytest.fixture
def options(digits_folder: Path) -> list[str]:
    quick = ["mnist", "--epochs", "5", "--batch-size", "32"]
    return [*quick, "--data-dir", str(digits_folder), "--device", "cpu"]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_again_and_again_it_ends_bit_for_bit_where_it_would_have(
    kalamos: Fork, options: list[str], tmp_path: Path, kind: str
) -> None:
    if kind == "dropout" and "lenet_bn" not in ARCHITECTURES.names():
        pytest.skip("there is no lenet_bn yet")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = kalamos("train", *options, *KINDS[kind].split(), "--run-dir", whole)

    workers = ["--workers", "2"] if "--workers" in KINDS[kind] else []
    resume = ["--resume", str(killed), *options[5:], *workers]
    begin = [*options, *KINDS[kind].split(), "--run-dir", str(killed)]
    assert undisturbed.wait() == 0, undisturbed.err
    for done, later, arguments in ((0, 0.05, begin), (1, 0.0, resume), (3, 0.04, resume)):
        run = kalamos("train", *arguments)
        wait_for(lambda done=done: (killed / "run.json").exists() and epochs_done(killed) >= done)
        time.sleep(later)
        run.process.kill()
        assert run.wait() == -signal.SIGKILL, run.err
        assert not (killed / "model.safetensors").exists()
        (killed / f".last.safetensors.{done:08}.tmp").write_bytes(b"stale")
    last = kalamos("train", *resume)
    assert last.wait() == 0, last.err
    assert last.err == ""
    assert outcome(killed) == outcome(whole)
    assert sorted(path.name for path in killed.glob("*")) == sorted(
        [*(path.name for path in whole.glob("*")), *(path.name for path in killed.glob(".last*"))]
    )


def test_a_command_of_ones_own_killed_and_gone_on_with(
    kalamos: Fork, options: list[str], tmp_path: Path
) -> None:
    # The same, without anything that these tests do to be quick.
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "kalamos", "train", *options, "--arch", "cnn2", "--run-dir", str(folder)]
    with (tmp_path / "out").open("wb") as out:
        run = subprocess.Popen(command, stdout=out, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wait_for(lambda: epochs_done(folder) >= 2 or run.poll() is not None)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    last = kalamos("train", "--resume", folder, *options[5:])
    whole = kalamos("train", *options, "--arch", "cnn2", "--run-dir", tmp_path / "whole")
    assert (last.wait(), whole.wait()) == (0, 0)
    assert outcome(folder) == outcome(tmp_path / "whole")
    classes, header, *epochs = last.out.splitlines()[:-2]
    assert classes == "10 classes: 0 1 2 3 4 5 6 7 8 9"
    assert "of 5 epochs done" in header
    lines = [line.split()[1] for line in epochs]
    assert lines == [f"{epoch}/5" for epoch in range(int(header.split()[-5]) + 1, 6)]
    again = kalamos("train", "--resume", folder)
    assert (again.wait(), again.err) == (0, "")
    assert again.out.splitlines() == last.out.splitlines()[-2:]


@pytest.mark.parametrize("asked_to_end", [signal.SIGINT, signal.SIGTERM])
def test_one_asked_to_end_says_how_to_go_on(
    kalamos: Fork, options: list[str], tmp_path: Path, asked_to_end: signal.Signals
) -> None:
    folder = tmp_path / "run"
    run = kalamos("train", *options, "--arch", "cnn2", "--epochs", "200", "--run-dir", folder)
    wait_for(lambda: epochs_done(folder) >= 1)
    os.kill(run.process.pid, asked_to_end)
    assert run.wait(60) == 128 + asked_to_end
    assert "Traceback" not in run.err
    assert f"stopped; continue with: kalamos train --resume {folder}\n" in run.err
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "last.safetensors", "best.safetensors", "log.csv", "curves.png"} <= names
    assert "model.safetensors" not in names
    assert not [name for name in names if name.endswith(".tmp")]
    assert load_file(folder / "best.safetensors")


def test_one_that_goes_wrong_keeps_what_was_right(kalamos: Fork, options: list[str], tmp_path: Path) -> None:
    # The rate climbs until the decay of the weights, lr * weight_decay > 2, makes them grow.
    folder = tmp_path / "run"
    wild = "--arch cnn2 --optimizer sgd --schedule cosine --lr 30 --set warmup=0.99 --set weight_decay=1"
    run = kalamos("train", *options, *wild.split(), "--epochs", "40", "--run-dir", folder)
    assert run.wait() == 1
    assert run.err.startswith("kalamos: the ")
    assert "try a lower learning rate (--lr)" in run.err
    assert run.err.count("\n") == 1
    assert 1 <= epochs_done(folder) < 40
    assert {"best.safetensors", "last.safetensors", "curves.png"} <= {path.name for path in folder.iterdir()}
    for name in ("best", "last"):
        assert all(value.isfinite().all() for value in load_file(folder / f"{name}.safetensors").values())
    with pytest.raises(Exception, match="not finished"):
        load_run(folder)
