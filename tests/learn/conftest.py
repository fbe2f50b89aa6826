"""`kalamos` in processes of its own that may be killed, and what the loop is given."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
from torch import nn

from kalamos.datasets import Dataset
from kalamos.learn.data import Examples
from kalamos.learn.models import StagedNetwork

HEAVY = [
    "kalamos.cli.train",
    "kalamos.cli.training_progress",
    "kalamos.learn.train",
    "matplotlib.figure",
    "scipy.optimize",
    "torch._dynamo",
    "tensorboard.summary.writer.record_writer",
]
"""What a training imports: ten seconds' worth, which processes forked from one that has it are spared."""

COMMAND = """
import os, signal, sys
for name, number in ((out, 1), (err, 2)):
    os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
os.environ.update(environment)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["kalamos", *arguments]
from kalamos.cli import main
main()
"""


class Process(Protocol):
    """What is used of a `multiprocessing.Process`."""

    pid: int
    exitcode: int | None

    def start(self) -> None: ...
    def join(self, timeout: float) -> None: ...
    def kill(self) -> None: ...


@dataclass
class Forked:
    """`kalamos ARGUMENTS` at work."""

    process: Process
    where: Path

    def wait(self, seconds: float = 120) -> int:
        """The exit status; a signal's is negative, as in `subprocess`."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running after {seconds} s: {self.err}"
        return self.process.exitcode

    @property
    def out(self) -> str:
        return (self.where / "out").read_text()

    @property
    def err(self) -> str:
        return (self.where / "err").read_text()


Fork = Callable[..., Forked]


@pytest.fixture(scope="session")
def processes() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    return context


@pytest.fixture
def kalamos(processes: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """Run `kalamos ARGUMENTS` in a process of its own, which does not outlive the test."""
    started: list[Forked] = []

    def start(*arguments: object, **environment: str) -> Forked:
        where = tmp_path_factory.mktemp("process")
        names = {
            "arguments": [str(argument) for argument in arguments],
            "environment": {"OMP_NUM_THREADS": "1", **environment},
            "out": str(where / "out"),
            "err": str(where / "err"),
        }
        # `exec` is found by its name in whatever process it is sent to; a function of this file is not.
        process = processes.Process(target=exec, args=(COMMAND, names))
        process.start()
        started.append(Forked(process, where))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.join(30)


@pytest.fixture(scope="session")
def examples(digits: Dataset) -> Examples:
    """300 synthetic digits; those that follow are the first of them."""
    return Examples(torch.from_numpy(digits.train.stack()), torch.from_numpy(digits.train.labels), 10)


@pytest.fixture(scope="session")
def few(examples: Examples) -> Examples:
    return Examples(examples.images[:40], examples.labels[:40], 10)


@pytest.fixture(scope="session")
def held(digits: Dataset) -> Examples:
    """60 others."""
    assert digits.test is not None
    return Examples(torch.from_numpy(digits.test.stack()), torch.from_numpy(digits.test.labels), 10)


@pytest.fixture(scope="session")
def small() -> Callable[..., StagedNetwork]:
    """Makes a network that takes milliseconds, with all that makes a state: statistics, dropout, layouts."""

    def make(seed: int = 0, dropout: float = 0.0) -> StagedNetwork:
        torch.manual_seed(seed)
        norm = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout))
        stem = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), *norm, nn.Conv2d(4, 8, 3))
        return StagedNetwork({"stem": stem}, nn.Sequential(nn.Flatten(), nn.Linear(8 * 4 * 4, 10)))

    return make
