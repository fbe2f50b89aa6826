from __future__ import annotations

import io
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch

from kalamos.learn.models import StagedNetwork, create_model

NAMES_OF_0_1 = {
    "StagedNetwork": "network",
    "MeanMaxPool": "blocks",
    "PooledLinear": "blocks",
    "RGBConv2d": "blocks",
    "Residual": "blocks",
    "MobileNet": "mobilenet",
    "FrozenMobileNet": "mobilenet_v2",
}


class FirstVersion(pickle.Pickler):
    """Pickles a network as kalamos 0.1 did: its module names, its attributes' names."""

    def reducer_override(self, what: Any) -> Any:
        if isinstance(what, type) and what.__module__.startswith("kalamos."):
            return _global, (f"kalamos.architectures.{NAMES_OF_0_1[what.__name__]}", what.__name__)
        return NotImplemented


def _global(module: str, name: str) -> Any:
    __import__(module)
    return getattr(sys.modules[module], name)


@pytest.mark.parametrize("name", ["kalamos_xs", "kalamos_s", "cnn64", "mobilenet_v2_transfer"])
def test_a_whole_network_of_the_first_version_still_loads(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=3).eval()
    images = torch.rand(2, 1, network.input_size, network.input_size)
    expected = network(images)
    network.seen, network.fresh = network.__dict__.pop("head_inputs"), network.__dict__.pop("head_keys")
    stream = io.BytesIO()
    FirstVersion(stream).dump(network)
    found = pickle.loads(stream.getvalue())  # noqa: S301
    assert isinstance(found, StagedNetwork)
    assert torch.equal(found(images), expected)
    assert found.head_keys == ("head.",)


def test_unpickling_alone_finds_the_old_names() -> None:
    program = "import kalamos.architectures.network as old; print(old.StagedNetwork.__module__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("kalamos.learn.models.base\n", "")
