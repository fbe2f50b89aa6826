"""Sources to export: the shared tiny run's, and freshly made networks of any architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kalamos.learn import Run
from kalamos.learn.export import from_run
from kalamos.learn.export.base import Source
from kalamos.learn.models import count_parameters, create_model
from kalamos.model_file import ModelSpec
from kalamos.preprocessing import default_steps


@pytest.fixture
def source(tiny_run: Run) -> Source:
    return from_run(tiny_run, "tiny")


@pytest.fixture(scope="session")
def fresh_source(tiny_run: Run) -> Callable[[str], Source]:
    """A network that has seen noise alone, so that its batch norm is not idle, and a spec that fits it."""
    template: ModelSpec = from_run(tiny_run, "fresh").spec

    def make(architecture: str) -> Source:
        torch.manual_seed(3)
        network = create_model(architecture, 10).train()
        size = network.input_size
        with torch.no_grad():
            network(torch.rand(8, 1, size, size))
        spec = replace(
            template,
            architecture=architecture,
            parameters=count_parameters(network),
            preprocessing=tuple(default_steps(size)),
            input_size=size,
            feature_maps=tuple(network.stages),
        )
        return Source(network.eval(), spec)

    return make


@pytest.fixture
def betrayals() -> list[bytes]:
    """What no exported file may hold: where this checkout, its environment and the home folder are."""
    import os
    import sys

    import kalamos

    paths = [Path(kalamos.__file__).parents[2], Path(sys.prefix), Path.home(), Path(os.__file__).parent]
    return [str(path).encode() for path in paths if len(str(path)) > 2] + [b"site-packages", b"stack_trace"]
