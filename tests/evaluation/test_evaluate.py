from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.errors import DatasetError, UsageError
from kalamos.evaluation.evaluate import (
    Evaluation,
    dataset_split,
    evaluate,
    evaluate_split,
    filter_charset,
    load_eval_data,
    run_split,
)
from kalamos.evaluation.metrics import Proportion, wilson_interval
from kalamos.evaluation.report import confused_pairs, right_samples, surest_mistakes, unread_rows
from kalamos.model_file import OperatingPoint, SelectiveAccuracy, open_model
from kalamos.recognizer import Recognizer


def sure_of(answers: list[int], confidence: list[float], classes: int) -> np.ndarray:
    """Probabilities float32 [N, C]: the confidence for the answer, the rest shared; zeros for -1."""
    rows = np.zeros((len(answers), classes), np.float32)
    for row, answer, sure in zip(rows, answers, confidence, strict=True):
        if answer >= 0:
            row[:] = (1 - sure) / (classes - 1)
            row[answer] = sure
    return rows


@pytest.fixture
def few() -> Evaluation:
    """Eight images of a, b, c and d: five right, two wrong, one unread; there is no d."""
    return Evaluation(
        truth=np.array([0, 0, 0, 1, 1, 1, 2, 2]),
        probabilities=sure_of([0, 0, 1, 1, 1, 2, 2, -1], [0.9, 0.9, 0.6, 1.0, 1.0, 0.4, 0.8, 0.0], 4),
        labels=("a", "b", "c", "d"),
        sha256="0" * 64,
    )


def test_what_could_not_be_read_counts_as_wrong(few: Evaluation) -> None:
    assert few.n == 8
    assert few.unread == 1
    assert few.correct.tolist() == [True, True, False, True, True, False, True, False]
    assert few.accuracy == 5 / 8
    assert few.interval == wilson_interval(5, 8)


def test_what_could_not_be_read_is_nowhere_in_the_confusion(few: Evaluation) -> None:
    assert few.confusion.tolist() == [[2, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_what_could_not_be_read_was_lost_by_its_class(few: Evaluation) -> None:
    assert few.classes.recall[:3].tolist() == [2 / 3, 2 / 3, 1 / 2]
    assert few.classes.precision[:3].tolist() == [1, 2 / 3, 1 / 2]
    assert np.isnan(few.classes.recall[3])


def test_calibration_is_that_of_what_was_read(few: Evaluation) -> None:
    gaps = [2 * 0.1, 0.6, 0.0, 0.4, 0.2]  # of .9, .6, 1, .4, .8
    assert few.ece == pytest.approx(sum(gaps) / 7)
    assert few.reliability.counts.sum() == 7
    own = [0.9, 0.9, 0.4 / 3, 1.0, 1.0, 0.2, 0.8]
    assert few.nll == pytest.approx(-np.log(own).mean(), rel=1e-5)


def test_calibration_is_that_of_what_was_answered(few: Evaluation) -> None:
    known = np.array([0.9, 0.9, 0.1, 0.9, 0.9, 0.2, 0.9, 0.0], np.float32)
    telling = replace(few, known=known, known_threshold=0.5)
    assert telling.withheld == 2
    assert telling.reliability.counts.sum() == 5
    assert telling.ece == pytest.approx((2 * 0.1 + 0.0 + 0.2) / 5)
    assert np.isnan(replace(telling, known_threshold=1.0).ece)


def test_calibration_takes_both_cases_for_one_and_sums_them() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.3, 0.6, 0.1], [0.25, 0.25, 0.5]], np.float32)
    cased = Evaluation(np.array([1, 1, 0]), probabilities, ("x", "X", "7"), "0" * 64)
    # x for X is right at 0.8, X for X at 0.9, 7 for x wrong at 0.5.
    assert cased.ece == pytest.approx((0.2 + 0.1 + 0.5) / 3)
    assert cased.correct.tolist() == [False, True, False]
    assert replace(cased, labels=("x", "Y", "7")).ece == pytest.approx((0.5 + 0.4 + 0.5) / 3)


def test_top_k_counts_unread_as_never_found(few: Evaluation) -> None:
    # The two mistakes' true labels share the rest with others: a goes before c, b after a.
    assert [few.top_k(k) for k in (1, 2, 3, 4, 9)] == [5 / 8, 6 / 8, 7 / 8, 7 / 8, 7 / 8]


def test_unread_images_are_the_least_sure(few: Evaluation) -> None:
    assert few.selective.risk[-1] == 3 / 8
    assert few.selective.confidence_at(1) == 0
    assert few.selective.accuracy_at(7 / 8) == pytest.approx(5 / 7)


def test_cases_are_folded_and_lookalikes_merged_where_the_alphabet_has_them(
    few: Evaluation,
) -> None:
    assert (few.case_folded_accuracy, few.confusables_merged_accuracy) == (
        None,
        None,
    )
    cased = replace(few, labels=("a", "A", "0", "O"))
    assert cased.case_folded_accuracy == 6 / 8
    assert cased.confusables_merged_accuracy == 5 / 8
    assert replace(few, labels=("0", "O", "o", "x")).confusables_merged_accuracy == 7 / 8


def test_nothing_read_is_no_accuracy_and_no_calibration(few: Evaluation) -> None:
    blank = replace(few, probabilities=np.zeros((8, 4), np.float32))
    assert (blank.accuracy, blank.unread, blank.top_k(5)) == (0, 8, 0)
    assert np.isnan([blank.ece, blank.nll, blank.brier]).all()
    assert blank.classes.macro() == (0, 0, 0)
    assert blank.selective.risk.tolist() == [1] * 8


def test_the_most_frequent_mistakes_come_first(few: Evaluation) -> None:
    assert few.most_confused() == [("a", "b", 1), ("b", "c", 1)]
    often = replace(few, probabilities=sure_of([1, 2, 1, 1, 1, 2, 2, 2], [0.9] * 8, 4))
    assert often.most_confused() == [("a", "b", 2), ("a", "c", 1), ("b", "c", 1)]
    assert often.most_confused(k=1) == [("a", "b", 2)]
    right = replace(few, probabilities=sure_of(few.truth.tolist(), [0.9] * 8, 4))
    assert right.most_confused() == []


def test_a_model_is_measured_on_the_path_that_prediction_takes(reader: Recognizer, digits: Dataset) -> None:
    measured = evaluate_split(reader, digits.test, digits.alphabet.labels)
    predictions = reader.predict_batch(list(digits.test.images))
    assert [reader.labels[i] for i in measured.predicted] == [p.label for p in predictions]
    np.testing.assert_allclose(measured.confidence, [p.confidence for p in predictions], atol=1e-6)
    assert measured.accuracy > 0.9
    assert measured.n == 60
    assert measured.sha256 == digits.test.sha256
    assert measured.truth.tolist() == digits.test.labels.tolist()


@pytest.mark.parametrize("blanks", [[0], [5, 20], list(range(60))])
def test_blank_images_are_unread(reader: Recognizer, digits: Dataset, blanks: list[int]) -> None:
    images = digits.test.images.copy()
    images[blanks] = 255
    whole = evaluate_split(reader, digits.test, digits.alphabet.labels)
    measured = evaluate_split(reader, Split(images, digits.test.labels), digits.alphabet.labels)
    assert measured.unread == len(blanks)
    assert (measured.predicted[blanks] == -1).all()
    assert (measured.confidence[blanks] == 0).all()
    others = np.setdiff1d(np.arange(60), blanks)
    assert np.array_equal(measured.predicted[others], whole.predicted[others])


def test_more_images_than_one_chunk(reader: Recognizer, digits: Dataset) -> None:
    measured = evaluate_split(reader, digits.train, digits.alphabet.labels)
    alone = [
        evaluate_split(reader, digits.train.take(np.array([i])), digits.alphabet.labels)
        for i in (63, 64, 299)
    ]
    assert [measured.predicted[i] for i in (63, 64, 299)] == [e.predicted[0] for e in alone]
    assert (measured.predicted >= 0).all()


def test_the_order_of_the_labels_may_differ(reader: Recognizer, digits: Dataset) -> None:
    backwards = digits.alphabet.labels[::-1]
    measured = evaluate_split(reader, Split(digits.test.images, 9 - digits.test.labels), backwards)
    assert measured.truth.tolist() == digits.test.labels.tolist()
    assert measured.labels == reader.labels


def test_the_model_may_know_more_than_the_split(reader: Recognizer, digits: Dataset) -> None:
    rows = np.flatnonzero(digits.test.labels < 2)
    measured = evaluate_split(reader, digits.test.take(rows), ("0", "1"))
    assert measured.accuracy > 0.9
    assert np.isnan(measured.classes.recall[2:]).all()
    assert measured.classes.support[2:].sum() == 0


def test_a_class_that_the_model_does_not_know_is_an_error(reader: Recognizer, digits: Dataset) -> None:
    with pytest.raises(DatasetError, match="the model 'tiny' does not know A, B; evaluate it on"):
        evaluate_split(reader, digits.test, (*digits.alphabet.labels, "B", "A"))


def test_a_long_list_of_unknown_classes_is_cut(reader: Recognizer, digits: Dataset) -> None:
    many = tuple(f"class {i:03}" for i in range(500))
    with pytest.raises(DatasetError, match="class 009 and 490 more; "):
        evaluate_split(reader, digits.test, (*digits.alphabet.labels, *many))


def test_images_of_many_sizes_are_measured_like_those_of_one(reader: Recognizer, digits: Dataset) -> None:
    padded = [np.pad(image, (0, i % 3)) for i, image in enumerate(digits.test.images)]
    ragged = Split(RaggedImages.of(padded), digits.test.labels)
    measured = evaluate_split(reader, ragged, digits.alphabet.labels)
    whole = evaluate_split(reader, digits.test, digits.alphabet.labels)
    assert (measured.predicted == whole.predicted).mean() > 0.9
    assert measured.unread == 0


def test_progress_ends_at_the_last_image(reader: Recognizer, digits: Dataset) -> None:
    seen: list[int] = []
    evaluate_split(reader, digits.train, digits.alphabet.labels, on_progress=seen.append)
    assert seen == [64, 128, 192, 256, 300]


def test_an_empty_split_is_an_error(reader: Recognizer, digits: Dataset) -> None:
    with pytest.raises(DatasetError, match="the split is empty"):
        evaluate_split(reader, digits.test.take(np.array([], np.int64)), digits.alphabet.labels)


def test_under_a_charset_only_its_images_and_labels_are_measured(reader: Recognizer, digits: Dataset) -> None:
    labels = digits.alphabet.labels
    inside = filter_charset(digits.test, labels, reader.spec.alphabet, "3 1 8")
    assert sorted(set(inside.labels.tolist())) == [1, 3, 8]
    measured = evaluate_split(reader, inside, labels, charset="3 1 8")
    assert measured.labels == ("1", "3", "8")
    assert (measured.n, measured.charset, measured.alphabet) == (18, "3 1 8", "digits")
    predictions = reader.predict_batch(list(inside.images), charset="3 1 8")
    assert [measured.labels[i] for i in measured.predicted] == [each.label for each in predictions]
    assert measured.confidence == pytest.approx([each.confidence for each in predictions], abs=1e-6)
    assert measured.removed == pytest.approx([each.removed for each in predictions], abs=1e-6)
    assert measured.mean_removed == pytest.approx(measured.removed.mean())
    assert measured.probabilities.sum(axis=1) == pytest.approx(np.ones(18), abs=1e-6)
    assert measured.confusion.shape == (3, 3)


def test_images_outside_the_charset_have_to_be_left_out_before(reader: Recognizer, digits: Dataset) -> None:
    with pytest.raises(DatasetError, match="charset '1 2' leaves out 0, 3, 4, 5, 6, 7, 8, 9"):
        evaluate_split(reader, digits.test, digits.alphabet.labels, charset="1 2")
    only = filter_charset(digits.test, digits.alphabet.labels, reader.spec.alphabet, "1")
    with pytest.raises(DatasetError, match="none of the 6 images has a label of charset '2'"):
        filter_charset(only, digits.alphabet.labels, reader.spec.alphabet, "2")


def test_labels_that_the_model_lacks_are_no_hindrance_under_a_charset(
    reader: Recognizer, digits: Dataset
) -> None:
    strange = (*digits.alphabet.labels[:9], "g")
    with pytest.raises(DatasetError, match="does not know g"):
        evaluate_split(reader, digits.test, strange)
    inside = filter_charset(digits.test, strange, reader.spec.alphabet, "digits")
    assert len(inside) == 54
    assert evaluate_split(reader, inside, strange, charset="digits").n == 54


def test_a_single_label_can_be_measured(reader: Recognizer, digits: Dataset) -> None:
    labels = digits.alphabet.labels
    measured = evaluate_split(
        reader, filter_charset(digits.test, labels, reader.spec.alphabet, "4"), labels, charset="4"
    )
    assert (measured.accuracy, measured.labels) == (1.0, ("4",))
    assert (measured.case_folded, measured.confusables_merged, measured.folded_and_merged) == (None,) * 3


def test_a_merged_class_is_measured_on_images_of_both_cases(reader: Recognizer, digits: Dataset) -> None:
    merged = Alphabet("latin-47", ("C", "O", *(f"x{i}" for i in range(8))))
    model = open_model(Path(reader._model.where))
    both = Recognizer(replace(model, spec=replace(model.spec, alphabet=merged)))
    labels = ("c", "C", "o", *merged.labels[2:9])
    measured = evaluate_split(both, digits.test, labels)
    assert [merged.labels[i] for i in measured.truth[np.argsort(digits.test.labels, kind="stable")][::6]] == [
        "C", "C", "O", *merged.labels[2:9],
    ]  # fmt: skip
    small = evaluate_split(both, filter_charset(digits.test, labels, merged, "c"), labels, charset="c o")
    assert (small.labels, small.n) == (("c", "o"), 12)


def test_figures_under_labels_counted_as_one_have_intervals(few: Evaluation) -> None:
    named = replace(few, labels=("a", "A", "0", "O"))
    assert named.folded_and_merged == Proportion(6, 8)
    assert named.case_folded.interval == wilson_interval(6, 8)
    assert replace(few, labels=("a", "A", "x", "y")).folded_and_merged is None


def test_targets_are_those_that_validation_reached(few: Evaluation) -> None:
    assert few.targets == ()
    table = SelectiveAccuracy(9, (OperatingPoint(0.9, 0.0, 1.0), OperatingPoint(0.992, 0.85, 0.5)))
    targets = replace(few, validated=table).targets
    assert [(target.accuracy, target.threshold) for target in targets] == [(0.95, 0.85), (0.99, 0.85)]
    sure = few.confidence >= 0.85
    assert targets[0].answered == Proportion(int(sure.sum()), 8)
    assert targets[0].right == Proportion(int(few.correct[sure].sum()), int(sure.sum()))
    none = replace(few, validated=replace(table, points=(OperatingPoint(0.99, 1.0, 0.5),)))
    assert none.targets[0].right.n == (few.confidence >= 1).sum()


def test_a_file_s_own_table_is_the_one_that_is_looked_at(reader: Recognizer, digits: Dataset) -> None:
    assert reader.spec.selective is not None
    assert evaluate_split(reader, digits.test, digits.alphabet.labels).validated == reader.spec.selective


def test_mistakes_are_wrong_read_and_sorted(measured: Evaluation) -> None:
    rows = surest_mistakes(measured, 100)
    assert set(rows) == set(np.flatnonzero(~measured.correct)) - {30}
    assert (np.diff(measured.confidence[rows]) <= 0).all()
    assert surest_mistakes(measured, 3).tolist() == rows[:3].tolist()
    assert unread_rows(measured, 9).tolist() == [30]


def test_samples_are_right_drawn_by_seed_and_never_twice(measured: Evaluation) -> None:
    rows = right_samples(measured, 20, seed=1)
    assert measured.correct[rows].all()
    assert len(set(rows.tolist())) == 20
    assert rows.tolist() == right_samples(measured, 20, seed=1).tolist()
    assert rows.tolist() != right_samples(measured, 20, seed=2).tolist()
    assert right_samples(measured, 1000).tolist() == np.flatnonzero(measured.correct).tolist()


def test_a_pair_has_its_images_and_something_to_compare_with(measured: Evaluation, answering) -> None:
    answers = measured.truth.copy()
    fours = np.flatnonzero(measured.truth == 4)
    answers[fours[:3]] = 9
    wrong = answering(measured, answers, np.linspace(0.5, 0.9, 60))
    [pair] = confused_pairs(wrong, 5, each=2)
    assert (pair.truth, pair.predicted, pair.count, pair.share) == ("4", "9", 3, 3 / len(fours))
    assert pair.rows == (fours[2], fours[1])
    assert pair.like == (fours[-1], np.flatnonzero(measured.truth == 9)[-1])
    assert pair.frequency == f"3 times, {3 / len(fours):.1%}"
    answers[fours] = 9
    assert confused_pairs(answering(measured, answers), 5, each=2)[0].like[0] is None


def test_nothing_confused_is_no_pair(measured: Evaluation, answering) -> None:
    assert confused_pairs(answering(measured, measured.truth), 5, 5) == []
    blank = replace(measured, probabilities=np.zeros_like(measured.probabilities))
    assert (confused_pairs(blank, 5, 5), len(right_samples(blank, 5))) == ([], 0)


numpy_files = pytest.importorskip("safetensors.numpy", reason="needs the extra 'train'")

ROWS = {
    "train": np.arange(0, 200),
    "val": np.array([5, 250, 299]),
    "test": np.zeros(0, np.int64),
}


def save(folder: Path, digits: Dataset, rows: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"data_sha256": digits.train.sha256}))
    (folder / "split.safetensors").write_bytes(numpy_files.save(rows))
    return folder


@pytest.fixture
def run(digits: Dataset, tmp_path: Path) -> Path:
    return save(tmp_path / "run", digits, ROWS)


def test_the_test_split_where_there_is_one_else_all(digits: Dataset) -> None:
    assert dataset_split(digits, None) == (digits.test, "test")
    whole = replace(digits, test=None)
    assert dataset_split(whole, None) == (whole.train, "all")
    assert dataset_split(whole, "all") == (whole.train, "all")
    assert dataset_split(digits, "train") == (digits.train, "train")


def test_an_official_validation_part_is_not_for_training(digits: Dataset) -> None:
    held = replace(digits, val_rows=np.array([3, 7]))
    split, part = dataset_split(held, "val")
    assert part == "val"
    assert np.array_equal(split.images, digits.train.images[[3, 7]])
    split, _ = dataset_split(held, "train")
    assert np.array_equal(split.images, np.delete(digits.train.images, [3, 7], axis=0))
    assert len(dataset_split(held, "all")[0]) == 360


def test_all_is_train_and_then_test(digits: Dataset) -> None:
    split, part = dataset_split(digits, "all")
    assert (len(split), part) == (360, "all")
    assert np.array_equal(split.images[300], digits.test.images[0])
    assert split.labels.tolist() == [*digits.train.labels, *digits.test.labels]


def test_all_of_different_sizes(digits: Dataset) -> None:
    larger = Split(RaggedImages.of([np.pad(i, 3) for i in digits.test.images]), digits.test.labels)
    split, _ = dataset_split(replace(digits, test=larger), "all")
    assert [split.images[row].shape for row in (0, 299, 300)] == [(28, 28), (28, 28), (34, 34)]


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_that_there_is_not(digits: Dataset, part: str) -> None:
    with pytest.raises(UsageError, match=f"mnist has no {part} split of its own; .*--split-of RUN"):
        dataset_split(replace(digits, test=None), part)


def test_what_a_run_held_out(digits: Dataset, run: Path) -> None:
    split = run_split(digits, run, "val")
    assert np.array_equal(split.images, digits.train.images[[5, 250, 299]])
    assert len(run_split(digits, run, "train")) == 200


def test_an_empty_part_says_where_the_test_split_is(digits: Dataset, run: Path) -> None:
    with pytest.raises(UsageError, match="kept no test part; leave out --split-of"):
        run_split(digits, run, "test")


def test_other_data_are_refused(digits: Dataset, run: Path) -> None:
    other = replace(digits, train=digits.train.take(np.arange(299)))
    with pytest.raises(DatasetError, match="was trained on other images than those of mnist"):
        run_split(other, run, "val")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"val": np.array([0, 300])}, "does not index the 300 images"),
        ({"val": np.array([-1, 3])}, "does not index"),
        ({"val": np.array([0.0, 1.0])}, "does not index"),
        ({"val": np.array([[0, 1]])}, "does not index"),
    ],
)
def test_rows_that_cannot_be(digits: Dataset, tmp_path: Path, rows: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        run_split(digits, save(tmp_path, digits, rows), "val")


@pytest.mark.parametrize(
    ("story", "told"),
    [(b"", "does not say"), (b"[]", "does not say"), (b"{}", "does not say"), (b"\xff", "does not say")],
)
def test_a_story_that_tells_nothing(digits: Dataset, run: Path, story: bytes, told: str) -> None:
    (run / "run.json").write_bytes(story)
    with pytest.raises(DatasetError, match=told):
        run_split(digits, run, "val")


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 64, numpy_files.save(ROWS)[:-8]])
def test_damaged_indices(digits: Dataset, run: Path, content: bytes) -> None:
    (run / "split.safetensors").write_bytes(content)
    with pytest.raises(DatasetError, match="is damaged"):
        run_split(digits, run, "val")


def test_no_run_and_an_old_run(digits: Dataset, run: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none: has no run.json .*give the folder"):
        run_split(digits, tmp_path / "none", "val")
    (run / "split.safetensors").unlink()
    with pytest.raises(DatasetError, match=r"split.safetensors: cannot be read \(No such file"):
        run_split(digits, run, "val")


def test_a_model_and_a_dataset_are_enough(reader: Recognizer, tiny_model: Path, digits: Dataset) -> None:
    measured = evaluate_split(reader, digits.test, digits.alphabet.labels)
    for model in (reader, tiny_model, str(tiny_model)):
        assert evaluate(model, digits).probabilities.tolist() == measured.probabilities.tolist()
    assert evaluate(reader, digits, split="train").n == len(digits.train)


def test_a_run_gives_the_part_that_it_held_out(reader: Recognizer, digits: Dataset, run: Path) -> None:
    in_memory = SimpleNamespace(data_sha256=digits.train.sha256, split=SimpleNamespace(**ROWS), folder=None)
    for split_of in (run, str(run), in_memory):
        assert evaluate(reader, digits, split_of=split_of).sha256 == run_split(digits, run, "val").sha256
        assert evaluate(reader, digits, split_of=split_of, split="train").n == 200
    with pytest.raises(UsageError, match="leave one of the two out"):
        evaluate(reader, digits, split_of=run, split="all")
    with pytest.raises(DatasetError, match="this run: was trained on other images"):
        evaluate(reader, digits, split_of=SimpleNamespace(data_sha256="", split=None, folder=None))
    with pytest.raises(UsageError, match="runs/x: kept no val part"):
        evaluate(
            reader,
            digits,
            split_of=SimpleNamespace(data_sha256=digits.train.sha256, split=None, folder="runs/x"),
        )


def test_a_charset_leaves_images_out(reader: Recognizer, digits: Dataset) -> None:
    data = load_eval_data(reader, digits, charset="1")
    assert (data.target.dataset, data.target.split) == ("mnist", "test")
    assert data.target.left_out == len(digits.test) - len(data.split) > 0
    assert evaluate(reader, digits, charset="1").labels == ("1",)


def test_a_folder_is_no_model(run: Path, tmp_path: Path, digits: Dataset) -> None:
    with pytest.raises(UsageError, match="is a run, not a model; export it first"):
        evaluate(run, digits)
    with pytest.raises(UsageError, match="is a folder, not a model"):
        evaluate(tmp_path, digits)
