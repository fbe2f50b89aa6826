"""The parts of a lesson: graph, memory, fitting, variations."""

from __future__ import annotations

import base64
import io
import tracemalloc
import zipfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from kalamos.errors import DatasetError, ModelFileError
from kalamos.finetune import Examples, fine_tune, load_examples
from kalamos.finetune.examples import variations
from kalamos.finetune.head import MOST_STEPS, Head, fit_head, split_model, with_head
from kalamos.finetune.replay import (
    EMBEDDING_STATS_KEY,
    EmbeddingStats,
    decode_embedding_stats,
    encode_embedding_stats,
    fit_embedding_stats,
    store_embedding_stats,
)
from kalamos.model_file import METADATA_KEY, open_model


def test_embeddings_and_head_make_the_logits(seven: Path) -> None:
    content = seven.read_bytes()
    model = open_model(content)
    embedding, head = split_model(content, model.spec, "seven")
    batch = np.random.default_rng(0).random((70, 1, 28, 28), np.float32)
    [logits] = model.session.run(["logits"], {model.input_name: batch})
    assert np.allclose(head.logits(embedding(batch)), logits, atol=1e-4)


def test_any_gemm_is_understood(seven: Path) -> None:
    """A weight that is not transposed, scales, no bias, a weight that a node computes."""
    model = onnx.load_from_string(seven.read_bytes())
    layer = next(node for node in model.graph.node if "logits" in node.output)
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == layer.input[1])
    weight = onnx.numpy_helper.to_array(stored)
    model.graph.initializer.append(onnx.numpy_helper.from_array(-weight.T.copy(), "half"))
    model.graph.node.insert(0, onnx.helper.make_node("Neg", ["half"], ["computed"]))
    model.graph.node.remove(layer)
    model.graph.node.append(
        onnx.helper.make_node("Gemm", [layer.input[0], "computed"], ["logits"], alpha=2.0)
    )
    content = model.SerializeToString()
    opened = open_model(content)
    _, head = split_model(content, opened.spec, "other")
    assert np.allclose(head.weight, 2 * weight)
    assert not head.bias.any()
    written = with_head(content, head, {METADATA_KEY: opened.spec.to_json()}, "other")
    batch = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    again = open_model(written)
    [expected] = opened.session.run(["logits"], {opened.input_name: batch})
    [logits] = again.session.run(["logits"], {again.input_name: batch})
    assert np.allclose(logits, expected, atol=1e-4)
    assert b"half" not in written


def test_a_memory_keeps_old_classes_and_is_handed_on(
    seven: Path, old_digits: Examples, new_digits: Examples
) -> None:
    content = store_embedding_stats(seven.read_bytes(), old_digits)
    assert open_model(content).spec == open_model(seven.read_bytes()).spec
    _, head = split_model(content, open_model(content).spec, "seven")
    memory = decode_embedding_stats(content, head, "seven")
    assert memory is not None
    assert (head.logits(memory.means).argmax(1) == np.arange(7)).all()
    lesson = fine_tune(content, new_digits, holdout=0)
    _, taught = split_model(lesson.content, lesson.spec, "ten")
    longer = decode_embedding_stats(lesson.content, taught, "ten")
    assert longer is not None
    assert np.allclose(longer.means[:7], memory.means, atol=0.01)
    assert (taught.logits(longer.means).argmax(1) == np.arange(10)).all()


def test_a_memory_needs_every_class(seven: Path, old_digits: Examples) -> None:
    fewer = Examples.of(old_digits.images[:3], old_digits.labels[:3], "fewer")
    with pytest.raises(DatasetError, match="no image of '3'"):
        store_embedding_stats(seven.read_bytes(), fewer)


@pytest.mark.parametrize("text", ["", "%%%", "aGVsbG8=", None])
def test_a_damaged_memory(seven: Path, text: str | None) -> None:
    content = seven.read_bytes()
    spec = open_model(content).spec
    _, head = split_model(content, spec, "seven")
    strange = EmbeddingStats(np.zeros((6, 192)), np.zeros((192, 1)), np.zeros(192))  # of six classes
    written = with_head(
        content,
        head,
        {
            METADATA_KEY: spec.to_json(),
            EMBEDDING_STATS_KEY: encode_embedding_stats(strange) if text is None else text,
        },
        "seven",
    )
    with pytest.raises(ModelFileError, match="memory"):
        decode_embedding_stats(written, head, "seven")


@pytest.mark.parametrize("shape", ["(7, 192)", "(7, 4000000)", "(2000000000, 2000000000)", "(7,"])
def test_a_memory_that_unpacks_to_gigabytes(seven: Path, shape: str) -> None:
    _, head = split_model(seven.read_bytes(), open_model(seven).spec, "seven")
    header = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("means", "factor", "rest"):
            content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
            archive.writestr(f"{name}.npy", content + bytes(60 * 2**20))
    written = with_head(
        seven.read_bytes(), head, {EMBEDDING_STATS_KEY: base64.b64encode(packed.getvalue()).decode()}, "seven"
    )
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match="seven: its memory of embeddings is damaged"):
            decode_embedding_stats(written, head, "seven")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


def test_a_memory_draws_what_it_was_given() -> None:
    generator = np.random.default_rng(0)
    mixing = generator.standard_normal((6, 6))
    labels = np.repeat([0, 1], 4000)
    seen = generator.standard_normal((8000, 6)) @ mixing + 5 * labels[:, np.newaxis]
    drawn = fit_embedding_stats(seen, labels, 2).draw(4000, generator)
    assert np.allclose(np.cov(drawn[:4000].T), mixing.T @ mixing, atol=0.7)
    assert np.allclose(drawn[4000:].mean(0), seen[4000:].mean(0), atol=0.3)


def test_fitting_finds_the_least_loss() -> None:
    """At the minimum, the gradient of the free rows is nothing; the others have not moved."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 60)
    inputs = generator.standard_normal((180, 4)) + np.eye(3, 4)[labels] * 1.5
    start = Head(generator.standard_normal((3, 4)), np.zeros(3))
    weights, trainable = np.ones(180), np.array([True, False, True])
    head = fit_head(start, inputs, labels, weights, trainable=trainable, penalty=0.1, steps=MOST_STEPS)
    assert np.array_equal(head.weight[1], start.weight[1])
    logits = head.logits(inputs)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    pull = 0.1 * inputs.var(axis=0).mean() * (head.weight - start.weight)
    slope = (shares - np.eye(3)[labels]).T @ inputs / 180 + pull
    assert np.abs(slope[trainable]).max() < 1e-3


def test_variations_are_the_same_character() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 13:15] = 255
    made = variations(image, 20, np.random.default_rng(0))
    assert made.shape == (20, 28, 28)
    assert len({each.tobytes() for each in made}) == 20
    overlap = [(each > 64)[6:22, 8:20].sum() / (each > 64).sum() for each in made]
    assert min(overlap) > 0.5


def test_examples_of_one_class_and_of_archives(tmp_path: Path) -> None:
    (tmp_path / "data" / "7").mkdir(parents=True)
    png = tmp_path / "data" / "7" / "a.png"
    cv2.imwrite(str(png), np.eye(9, dtype=np.uint8) * 255)
    assert load_examples(tmp_path / "data").labels == ("7",)
    (tmp_path / "list.csv").write_text("path,label\ndata/7/a.png,é\nabsent.png,x\n", "utf-8")
    read = load_examples(tmp_path / "list.csv")
    assert (read.labels, [problem.where for problem in read.problems]) == (("é",), ["absent.png"])
