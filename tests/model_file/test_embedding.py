from __future__ import annotations

import numpy as np
import pytest

from kalamos.model_file import Embedding, open_model
from kalamos.zoo import find_model, model_path


@pytest.mark.parametrize("path", [model_path("glyphs"), find_model("digits")], ids=["glyphs", "digits"])
def test_it_is_what_the_last_layer_takes(path) -> None:
    pytest.importorskip("onnx", reason="needs the extra 'teach'")
    from kalamos.finetune.head import split_model

    content = path.read_bytes()
    spec = open_model(content).spec
    batch = np.random.default_rng(0).random((3, 1, spec.input_size, spec.input_size), np.float32)
    found = Embedding(content, spec, "model")(batch)
    _, head = split_model(content, spec, "model")
    assert found.shape == (3, head.weight.shape[1])
    assert np.allclose(head.logits(found), open_model(content).logits(batch), atol=1e-3)
