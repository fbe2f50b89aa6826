"""What `torch.save` makes: the whole network as a pickle, or its weights alone.

Neither has a place for the spec, which goes into a file beside them. The whole network is a Python pickle:
it finds its classes in the kalamos that is installed where it is loaded, and loading one runs
whatever its maker put into it. Trust it only because you made it.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kalamos.architectures import StagedNetwork, create_model
from kalamos.export.base import Format
from kalamos.export.parity import Answer
from kalamos.model_file import ModelSpec

__all__ = ["FULL", "STATE_DICT"]


def encode_network(network: StagedNetwork, spec: ModelSpec) -> bytes:  # noqa: ARG001  (a format's signature)
    return _saved(network)


def decode_network(content: bytes, spec: ModelSpec) -> Answer:  # noqa: ARG001
    # Our own bytes, made a moment ago. Its mode stays as it was saved, as for whoever will load it.
    return _answer(torch.load(io.BytesIO(content), weights_only=False))


def encode_weights(network: StagedNetwork, spec: ModelSpec) -> bytes:  # noqa: ARG001
    return _saved(network.state_dict())


def decode_weights(content: bytes, spec: ModelSpec) -> Answer:
    network = create_model(spec.architecture, len(spec.alphabet)).eval()
    network.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    return _answer(network)


def _saved(what: object) -> bytes:
    stream = io.BytesIO()
    torch.save(what, stream)
    return stream.getvalue()


def _answer(network: nn.Module) -> Answer:
    def answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
        return logits

    return answer


FULL = Format(
    "full", ".full.pt", encode_network, decode_network, "torch.load({}, weights_only=False)", spec_beside=True
)
STATE_DICT = Format(
    "state-dict",
    ".state-dict.pt",
    encode_weights,
    decode_weights,
    "network.load_state_dict(torch.load({}, weights_only=True))",
    spec_beside=True,
)
