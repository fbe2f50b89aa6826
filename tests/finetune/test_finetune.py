from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import kalamos
from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, Split
from kalamos.errors import AlphabetError, DatasetError, MissingExtraError, ModelFileError, UsageError
from kalamos.finetune import Examples, FineTuned, Score, fine_tune
from kalamos.finetune.head import split_model, with_head
from kalamos.finetune.replay import store_embedding_stats
from kalamos.model_file import METADATA_KEY, read_spec
from kalamos.recognizer import Recognizer
from kalamos.zoo import model_path, names, render_card


def accuracy(reader: Recognizer, examples: Examples) -> float:
    answers = [result.label for result in reader.predict_batch(list(examples.images))]
    return float(np.mean([a == b for a, b in zip(answers, examples.labels, strict=True)]))


def test_new_classes_are_learnt_and_old_ones_kept(
    seven: Path, lesson: FineTuned, new_digits: Examples, old_digits: Examples
) -> None:
    taught = lesson.recognizer()
    assert taught.labels == lesson.labels == tuple("0123456789")
    assert lesson.new_labels == ("7", "8", "9")
    assert accuracy(taught, new_digits) >= 0.95
    before = accuracy(kalamos.load(seven), old_digits)
    assert before >= 0.9
    assert accuracy(taught, old_digits) >= before - 0.1


def test_the_scores_are_those_of_held_back_examples(lesson: FineTuned) -> None:
    assert lesson.before == Score(0, 0, 0, 6)
    assert lesson.after.new_n == 6
    assert lesson.after.new_accuracy is not None
    assert lesson.after.new_accuracy >= 0.8
    assert lesson.after.known_accuracy is None
    assert lesson.n == 30


def test_the_new_file_says_where_it_comes_from(seven: Path, lesson: FineTuned, tmp_path: Path) -> None:
    before = seven.read_bytes()
    path = lesson.save(tmp_path / "ten.onnx")
    assert seven.read_bytes() == before
    spec = read_spec(path)
    assert spec == replace(lesson.spec, training=spec.training)
    assert (spec.name, spec.alphabet.name) == ("seven-taught", "seven+3")
    assert (spec.metrics, spec.selective, spec.quantisation, spec.robustness) == ((), None, None, ())
    assert spec.parameters == read_spec(seven).parameters + 3 * 241
    assert spec.training is not None
    assert (spec.training.dataset, spec.training.n) == ("new digits", 30)
    assert spec.training.recipe["taught"]["sha256"] == hashlib.sha256(before).hexdigest()  # type: ignore[index]
    assert kalamos.load(path).labels == spec.alphabet.labels
    assert f"Taught with 30 examples of `new digits` (SHA-256 `{spec.training.sha256}`)" in render_card(path)


def test_rows_without_examples_stay_as_they_are(seven: Path, lesson: FineTuned) -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 13:15] = 255
    old, new = kalamos.load(seven), lesson.recognizer()
    assert np.allclose(old.logits([image]), new.logits([image])[:, :7], atol=1e-5)
    assert np.array_equal(old.feature_maps(image)["deep"], new.feature_maps(image)["deep"])


def test_corrections_of_known_classes_are_learnt(seven: Path, new_digits: Examples) -> None:
    """Sevens that the model shall call 1, as it has no 7."""
    sevens = [
        image for image, label in zip(new_digits.images, new_digits.labels, strict=True) if label == "7"
    ]
    relabelled = Examples.of(sevens, ["2"] * len(sevens))
    lesson = fine_tune(seven, relabelled, holdout=0.3)
    assert lesson.new_labels == ()
    assert lesson.spec.alphabet == read_spec(seven).alphabet
    assert lesson.after.known_right > lesson.before.known_right
    assert accuracy(lesson.recognizer(), relabelled) >= 0.9


def test_a_new_class_has_to_be_ahead_by_a_margin(
    seven: Path, old_digits: Examples, new_digits: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(read_spec(seven), temperature=1.5)
    _, head = split_model(seven.read_bytes(), spec, "seven")
    content = store_embedding_stats(
        with_head(seven.read_bytes(), head, {METADATA_KEY: spec.to_json()}, "seven"), old_digits
    )
    heads = []
    for margin in (0.0, 0.5):
        monkeypatch.setattr("kalamos.finetune.NEW_CLASS_MARGIN_LOGITS", margin)
        taught = fine_tune(content, new_digits, holdout=0)
        heads.append(split_model(taught.content, taught.spec, "taught")[1])
    without, with_margin = heads
    assert np.array_equal(without.weight, with_margin.weight)
    assert np.allclose(without.bias - with_margin.bias, [0] * 7 + [0.75] * 3, atol=1e-5)


def test_the_same_seed_gives_the_same_file(seven: Path, lesson: FineTuned, new_digits: Examples) -> None:
    assert fine_tune(seven, new_digits).content == lesson.content


def test_it_can_be_taught_again(lesson: FineTuned) -> None:
    crosses = Examples.of([np.eye(20) + np.eye(20)[::-1] > 0] * 3, ["×"] * 3)
    again = fine_tune(lesson.content, crosses)
    assert again.labels == (*"0123456789", "×")
    assert again.recognizer().predict(np.eye(20) + np.eye(20)[::-1] > 0).label == "×"
    assert again.spec.training is not None
    assert again.spec.training.recipe["before"]["dataset"] == "new digits"  # type: ignore[index]


@pytest.mark.parametrize("name", names())
def test_each_shipped_model_can_be_taught_and_taught_again(name: str, tmp_path: Path) -> None:
    """The int8 ones have another last layer than they were exported with, since they have a memory."""
    ring = np.full((64, 64), 255, np.uint8)
    ring[16:48, 16:48] = ring[30:34, 8:56] = 0
    ring[22:42, 22:42] = 255
    examples = Examples.of([np.roll(ring, step, 1) for step in range(4)], ["⌖"] * 4, "signs")
    before = kalamos.load(name)
    once, twice = tmp_path / "once.onnx", tmp_path / "twice.onnx"
    fine_tune(before, examples, name="once", holdout=0).save(once)
    fine_tune(kalamos.load(once), examples, name="twice", holdout=0).save(twice)
    for path in (once, twice):
        after = kalamos.load(path)
        assert after.labels == (*before.labels, "⌖")
        assert after.predict(ring).label == "⌖"


def test_one_example_holds_back_nothing(seven: Path, new_digits: Examples) -> None:
    lesson = fine_tune(seven, Examples.of([new_digits.images[1]], ["8"]))
    assert (lesson.n, lesson.after.n, lesson.after.accuracy) == (1, 0, None)
    assert lesson.new_labels == ("8",)


def test_a_dataset_stands_for_its_training_images(seven: Path, new_digits: Examples) -> None:
    images = np.stack(new_digits.images[:6])
    labels = np.array([int(label) for label in new_digits.labels[:6]])
    lesson = fine_tune(seven, Dataset("mine", DIGITS, Split(images, labels), None, "drawn"), holdout=0)
    assert (lesson.new_labels, lesson.n) == (("7", "8", "9"), 6)


def test_what_is_blank_is_passed_over_and_told(seven: Path, new_digits: Examples) -> None:
    lesson = fine_tune(
        seven, Examples.of([np.zeros((9, 9)), *new_digits.images[:3], b""], ["7", *"789", "8"])
    )
    assert lesson.n == 3
    assert len(lesson.problems) == 2
    with pytest.raises(DatasetError, match="no example has any ink"):
        fine_tune(seven, Examples.of([np.zeros((9, 9))], ["7"]))


def test_labels_are_compared_composed(seven: Path, new_digits: Examples) -> None:
    lesson = fine_tune(seven, Examples.of(new_digits.images[:2], ["é", "e\u0301"]), holdout=0)
    assert lesson.new_labels == ("é",)


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "x" * 51, "\ud800", 7])
def test_labels_that_no_alphabet_can_have(label: str) -> None:
    with pytest.raises(AlphabetError):
        Examples.of([np.eye(9)], [label])


def test_images_and_labels_belong_together() -> None:
    with pytest.raises(DatasetError, match="1 images came with 2 labels"):
        Examples.of([np.eye(9)], ["a", "b"])


def test_the_old_file_and_others_are_not_replaced(lesson: FineTuned, seven: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the model that is fine-tuned"):
        lesson.save(seven, force=True)
    link = tmp_path / "link.onnx"
    link.symlink_to(seven)
    with pytest.raises(UsageError, match="the model that is fine-tuned"):
        lesson.save(link, force=True)
    there = tmp_path / "there.onnx"
    there.write_bytes(b"mine")
    with pytest.raises(UsageError, match="already exists"):
        lesson.save(there)
    assert there.read_bytes() == b"mine"
    lesson.save(there, force=True)
    assert there.read_bytes() == lesson.content


def test_a_file_that_changed_since_it_was_opened(seven: Path, new_digits: Examples, tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(seven.read_bytes())
    reader = kalamos.load(path)
    assert fine_tune(reader, new_digits, holdout=0).taught_from == path
    path.write_bytes(model_path("digits").read_bytes())
    with pytest.raises(ModelFileError, match="has changed"):
        fine_tune(reader, new_digits)
    path.unlink()
    with pytest.raises(ModelFileError, match="cannot be read again"):
        fine_tune(reader, new_digits)


def test_a_network_without_a_dense_last_layer(seven: Path, new_digits: Examples) -> None:
    model = onnx.load_from_string(seven.read_bytes())
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Relu", ["before"], ["logits"]))
    with pytest.raises(ModelFileError, match="a layer Relu"):
        fine_tune(model.SerializeToString(), new_digits)


@pytest.mark.parametrize("holdout", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range(seven: Path, new_digits: Examples, holdout: float) -> None:
    with pytest.raises(UsageError, match="holdout"):
        fine_tune(seven, new_digits, holdout=holdout)


def test_the_old_names_go_on_and_warn() -> None:
    import kalamos.finetune

    with pytest.warns(DeprecationWarning, match="now called fine_tune"):
        assert kalamos.finetune.teach is fine_tune
    with pytest.raises(AttributeError, match="taech"):
        kalamos.finetune.taech  # noqa: B018


def test_a_folder_of_corrections_is_fine_tuned_on(seven: Path, tmp_path: Path, new_digits: Examples) -> None:
    from kalamos.finetune.corrections import Corrections

    kept, labels = Corrections(tmp_path), new_digits.labels[:4]
    for image, label in zip(new_digits.images[:4], labels, strict=True):
        kept.add(image, label)
    tuned = kalamos.fine_tune(seven, tmp_path, holdout=0)
    assert (tuned.n, set(tuned.new_labels)) == (4, set(labels) - set(kalamos.load(seven).labels))


@pytest.mark.parametrize("package", ["onnx", "scipy", "threadpoolctl"])
def test_what_teaching_needs_is_named(
    package: str, new_digits: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalamos.errors.find_spec", lambda name: name != package)
    with pytest.raises(MissingExtraError, match=rf"{package}.*kalamos\[teach\]"):
        fine_tune("digits", new_digits)
