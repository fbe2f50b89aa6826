"""Alphabets of one's own on the base model: drawn hands, so that no data are needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import kalamos
from kalamos.alphabets import BASE_LABELS
from kalamos.errors import DatasetError, UsageError
from kalamos.finetune import Examples, FineTuned, fine_tune
from kalamos.finetune.contact_sheet import contact_sheet
from kalamos.finetune.examples import hands_of_names
from kalamos.finetune.prototypes import fit_alphabet, leave_hands_out, unlike
from kalamos.finetune.tuned import Suspect
from kalamos.model_file import open_model
from kalamos.zoo import base_names, card_path, model_path, names

pytest.importorskip("onnx", reason="needs the extra 'teach'")

LETTERS = {
    "hook": [[(10, 10), (10, 50), (40, 50)]],
    "cross": [[(30, 5), (30, 55)], [(5, 30), (55, 30)]],
    "roof": [[(5, 50), (30, 8), (55, 50)]],
    "wave": [[(5, 30), (18, 10), (34, 50), (55, 20)]],
    "two bars": [[(15, 8), (15, 52)], [(42, 8), (42, 52)]],
    "box": [[(10, 10), (50, 10), (50, 50), (10, 50), (10, 10)]],
}
"""Polylines on 60 px: an alphabet that no font has."""


def written(strokes: list[list[tuple[int, int]]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A hand's drawing, uint8 [80, 80], dark on white."""
    page = np.full((80, 80), 255, np.uint8)
    turn = cv2.getRotationMatrix2D((30, 30), float(rng.uniform(-8, 8)), float(rng.uniform(0.8, 1.1)))
    for stroke in strokes:
        points = np.array(stroke, np.float64) + rng.normal(0, 1.5, (len(stroke), 2))
        points = points @ turn[:, :2].T + turn[:, 2] + 10
        cv2.polylines(
            page, [np.rint(points).astype(np.int32)], False, 0, int(rng.integers(2, 5)), cv2.LINE_AA
        )
    return page


def samples(hands: range, letters: dict[str, list[list[tuple[int, int]]]] = LETTERS) -> Examples:
    rows = [(name, hand) for hand in hands for name in letters]
    images = [written(letters[name], np.random.default_rng((hand, len(name)))) for name, hand in rows]
    found = Examples.of(images, [name for name, _ in rows], "shapes")
    return replace(found, groups=tuple(str(hand) for _, hand in rows), grouped_by="the manifest's groups")


@pytest.fixture(scope="module")
def taught() -> FineTuned:
    return fine_tune("glyphs", samples(range(5)))


def right(reader: kalamos.Recognizer, examples: Examples) -> float:
    answers = reader.predict_batch(list(examples.images))
    return float(np.mean([each.label == label for each, label in zip(answers, examples.labels, strict=True)]))


def test_five_hands_teach_an_alphabet_that_no_font_has(taught: FineTuned) -> None:
    assert taught.labels == tuple(sorted(LETTERS))
    assert right(taught.recognizer(), samples(range(20, 30))) >= 0.95


def test_expected_is_measured_on_hands_left_out(taught: FineTuned) -> None:
    expected = taught.expected
    assert expected is not None
    assert (expected.n, expected.hands, expected.grouped_by) == (30, 5, "the manifest's groups")
    assert expected.accuracy is not None
    assert expected.accuracy >= 0.9
    assert sum(n for *_, n in expected.confused) == expected.n - expected.right


def test_one_example_a_class_is_enough_to_begin() -> None:
    tuned = fine_tune("glyphs", samples(range(1)))
    assert tuned.expected is not None
    assert tuned.expected.n == 0  # one hand says nothing of others
    assert right(tuned.recognizer(), samples(range(20, 30))) >= 0.8


@pytest.mark.parametrize("foreign", ["8", "R", "ring"])
def test_what_is_none_of_the_alphabet_is_withheld(taught: FineTuned, foreign: str) -> None:
    page = np.full((80, 80), 255, np.uint8)
    if foreign == "ring":
        cv2.circle(page, (40, 40), 25, 0, 3, cv2.LINE_AA)
        cv2.circle(page, (40, 40), 9, 0, 3, cv2.LINE_AA)
    else:
        cv2.putText(page, foreign, (15, 65), cv2.FONT_HERSHEY_SIMPLEX, 2.4, 0, 4, cv2.LINE_AA)
    reader = taught.recognizer()
    answer = reader.predict(page)
    assert answer.label is None
    assert answer.known is not None
    assert answer.known < 0.01
    mine = reader.predict_batch(list(samples(range(20, 24)).images))
    assert all(each.label is not None for each in mine)


def test_the_taught_file_opens_again_and_is_taught_further(taught: FineTuned, tmp_path: Path) -> None:
    path = taught.save(tmp_path / "shapes.onnx")
    assert kalamos.load(path).labels == taught.labels
    star = {"star": [[(30, 5), (30, 55)], [(8, 15), (52, 45)], [(52, 15), (8, 45)]]}
    more = fine_tune(path, samples(range(6), star))
    assert more.labels == (*taught.labels, "star")
    assert right(more.recognizer(), samples(range(20, 26), star)) >= 0.8
    assert right(more.recognizer(), samples(range(20, 26))) >= 0.85
    # Whether it is one of them at all follows the new class too.
    assert more.spec.known is not None
    answers = more.recognizer().predict_batch(list(samples(range(20, 26), star).images))
    assert sum(each.error is None and each.label is not None for each in answers) >= 5


def test_only_leaves_the_old_classes_out() -> None:
    tuned = fine_tune("latin", samples(range(3)), only=True)
    assert tuned.labels == tuple(sorted(LETTERS))
    assert tuned.spec.known is None  # what is told from is of another embedding
    assert any("confidences are not measured for this model" in note for note in tuned.notes)
    assert right(tuned.recognizer(), samples(range(20, 23))) >= 0.6


def test_confidences_of_other_models_follow_the_length_of_their_embeddings() -> None:
    tuned = fine_tune("latin", samples(range(3)), only=True)
    reader = tuned.recognizer()
    answers = reader.predict_batch(list(samples(range(20, 30)).images))
    sure = float(np.mean([each.confidence for each in answers]))
    assert abs(sure - right(reader, samples(range(20, 30)))) < 0.25


def test_an_example_under_a_wrong_label_is_named(taught: FineTuned) -> None:
    assert taught.suspects == ()
    given_ = samples(range(5))
    labels = ("wave", *given_.labels[1:])
    names_ = tuple(f"{place}.png" for place in range(len(labels)))
    tuned = fine_tune("glyphs", replace(given_, labels=labels, names=names_))
    assert tuned.suspects == (Suspect("0.png", "wave", given_.labels[0]),)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(UsageError, match="one class alone, 'roof'"):
        fine_tune("glyphs", samples(range(3), {"roof": LETTERS["roof"]}))


def test_the_base_model_reads_nothing_by_itself() -> None:
    assert base_names() == ("glyphs",)
    assert "glyphs" not in names()
    assert open_model(model_path("glyphs")).spec.alphabet.labels == BASE_LABELS
    assert model_path("glyphs").stat().st_size <= 1_500_000
    assert card_path("glyphs").parent.name == "base"
    with pytest.raises(UsageError, match="no alphabet"):
        kalamos.load("glyphs")


def test_blank_examples_are_told_and_leave_the_rest() -> None:
    blank = np.full((40, 40), 255, np.uint8)
    given_ = samples(range(3))
    spoilt = replace(
        given_,
        images=[*given_.images, blank],
        labels=(*given_.labels, "roof"),
        groups=(*(given_.groups or ()), "0"),
    )
    tuned = fine_tune("glyphs", spoilt)
    assert [problem.what for problem in tuned.problems] == ["no ink"]
    assert tuned.n == 18
    with pytest.raises(DatasetError, match="no example has any ink"):
        fine_tune("glyphs", Examples.of([blank, blank], ["a", "b"]))


@pytest.mark.parametrize(
    ("paths", "labels", "groups", "told"),
    [
        (["a/03.png", "b/03.png", "a/7.png"], "aba", ("3", "3", "7"), "the last number"),
        (["a/w1/x.png", "b/w1/x.png", "a/w2/x.png"], "aba", ("w1", "w1", "w2"), "the folders below"),
        (["a/x.png", "b/y.png"], "ab", None, ""),
        (["a/1.png", "a/1b1.png", "b/2.png"], "aab", None, ""),  # a number twice in a class is no hand
        (["a/10.png", "b/20.png", "c/30.png"], "abc", None, ""),  # none recurs
    ],
)
def test_hands_are_told_by_folders_or_numbers(
    paths: list[str], labels: str, groups: tuple[str, ...] | None, told: str
) -> None:
    found, why = hands_of_names(paths, labels)
    assert found == groups
    assert why.startswith(told)


def test_one_file_with_another_name_does_not_hide_whose_hand_the_others_are() -> None:
    paths = [*(f"{label}/{hand:02d}.png" for label in "ab" for hand in range(12)), "a/moved.png"]
    groups, why = hands_of_names(paths, [path[0] for path in paths])
    assert why == "the last number of the file names"
    assert groups is not None
    assert groups[:2] == ("0", "1")
    assert groups[-1] == "a/moved.png"
    assert hands_of_names(["a/1.png", "b/1.png", "a/x.png"], "aba") == (None, "")


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8))
def test_any_names_have_a_group_each_or_none(paths: list[str]) -> None:
    groups, why = hands_of_names(paths, ["a"] * len(paths))
    assert groups is None or len(groups) == len(paths)
    assert bool(why) == (groups is not None)


def test_prototypes_point_to_the_means_where_regression_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalamos.finetune.prototypes.MAX_REGRESSION", 0)
    embedded = np.array([[[3.0, 0.0]], [[0.0, 3.0]], [[1.0, 2.83]]], np.float32)
    head = fit_alphabet(embedded, np.array([0, 1, 1]), 2)
    assert np.allclose(np.linalg.norm(head.weight, axis=1), 1)
    assert np.allclose(head.weight[0], [1, 0])
    assert not head.bias.any()


def test_look_alikes_of_a_class_are_no_outliers() -> None:
    head = fit_alphabet(np.array([[[3.0, 0.0]], [[0.0, 3.0]]], np.float32), np.array([0, 1]), 2)
    near, far = [3.0, 0.1], [-2.0, -2.0]
    assert unlike(head, np.array([near, far], np.float32)).tolist() == [far]


def test_two_hands_are_too_few_to_leave_one_out() -> None:
    embedded = np.random.default_rng(0).normal(size=(4, 1, 3)).astype(np.float32)
    codes = np.array([0, 1, 0, 1])
    assert leave_hands_out(embedded, codes, np.array([0, 0, 1, 1]), 2, 0) is None


def test_the_contact_sheet_shows_every_sample_and_stands_alone(taught: FineTuned) -> None:
    page = contact_sheet(taught)
    assert page.count("<img ") == taught.n == len(taught.samples)
    assert all(f"<bdi>{label}</bdi>" in page for label in taught.labels)
    assert "http" not in page.replace("http-equiv", "")
    spoilt = replace(taught.samples[0], answer="<b>box", name="a/<img>.png")
    page = contact_sheet(replace(taught, samples=(spoilt, *taught.samples[1:])))
    assert "&lt;b&gt;box" in page
    assert page.count('class="tile wrong"') >= 1
