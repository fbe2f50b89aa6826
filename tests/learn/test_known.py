"""Whether an image is a character at all: trained, calibrated, kept, exported, read, and taught on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_28, DIGITS
from kalamos.datasets import Dataset
from kalamos.errors import DatasetError, ModelFileError, RecipeError, UsageError
from kalamos.evaluation.calibration import fit_known
from kalamos.evaluation.evaluate import EvalTarget, evaluate_split
from kalamos.evaluation.ood import OODContext, exposure, measure, open_set
from kalamos.evaluation.ood.measure import outliers_json
from kalamos.finetune import Examples, fine_tune
from kalamos.learn import CalibrationWarning, Recipe, Run, choose_recipe, load_run, train
from kalamos.learn.data import Batch, choose_outliers
from kalamos.learn.export import export_model
from kalamos.learn.loop import Objective
from kalamos.learn.models import StagedNetwork, create_model
from kalamos.model_file import KnownRecord, open_model
from kalamos.predict_options import PredictOptions
from kalamos.predictions import NOT_A_CHARACTER, SEVERAL
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
from kalamos.recognizer import Recognizer
from kalamos.writers import OPTIONAL_COLUMNS
from kalamos.zoo import render_card

RECIPE = Recipe(
    arch="kalamos_xs", epochs=4, outliers=400, outlier_share=0.25, outlier_weight=0.5, batch_size=32
)


@pytest.fixture(scope="module")
def run(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("known") / "run"
    with pytest.warns(CalibrationWarning, match="known is calibrated on 30 validation images"):
        return train("mnist", recipe=RECIPE, data_dir=digits_folder, run_dir=folder)


@pytest.fixture(scope="module")
def reader(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return run.export(tmp_path_factory.mktemp("model") / "known.onnx")


@pytest.fixture(scope="module")
def scribbles(reader: Recognizer) -> list[NDArray[np.uint8]]:
    drawn = open_set("scribbles", OODContext(reader.spec.alphabet, "eval"))
    return [drawn.draw(number) for number in range(60)]


def test_characters_are_answered_and_scribbles_are_not(
    reader: Recognizer, digits: Dataset, scribbles: list[NDArray[np.uint8]]
) -> None:
    assert digits.test is not None
    characters = reader.predict_batch(list(digits.test.images))
    others = reader.predict_batch(scribbles)
    assert np.mean([each.reason == NOT_A_CHARACTER for each in characters]) <= 0.1
    withheld = [each for each in others if each.reason == NOT_A_CHARACTER]
    assert len(withheld) >= 0.6 * len(others)
    assert all(each.abstained and each.label is None and each.top for each in withheld)
    assert all(each.known is not None and 0 <= each.known <= 1 for each in [*characters, *withheld])


def test_several_characters_are_told_as_such(reader: Recognizer, digits: Dataset) -> None:
    assert digits.test is not None
    images = [np.asarray(image) for image in digits.test.images[:40]]
    pairs = [
        np.pad(np.concatenate([one[:, 4:24], other[:, 4:24]], axis=1), 6)
        for one, other in zip(images[:20], images[20:], strict=True)
    ]
    reasons = [each.reason for each in reader.predict_batch(pairs)]
    assert reasons.count(SEVERAL) >= 10
    assert all(reason in {SEVERAL, NOT_A_CHARACTER, None} for reason in reasons)
    assert reader.predict(pairs[0], min_known=0).reason is None


def test_the_threshold_can_be_chosen(reader: Recognizer, scribbles: list[NDArray[np.uint8]]) -> None:
    everything = reader.predict_batch(scribbles, min_known=0)
    nothing = reader.predict_batch(scribbles, min_known=1)
    assert all(each.label is not None for each in everything if each.error is None)
    assert all(each.label is None for each in nothing)
    with pytest.raises(UsageError, match="does not tell characters from other images"):
        kalamos_digits().predict(scribbles[0], min_known=0.5)


def kalamos_digits() -> Recognizer:
    """A model file of the first version's kind, which has no such output."""
    from kalamos.zoo import model_path

    model = open_model(model_path("digits"))
    return Recognizer(replace(model, spec=replace(model.spec, known=None)))


def test_a_charset_and_a_target_accuracy_go_with_it(reader: Recognizer, digits: Dataset) -> None:
    assert digits.test is not None
    [answer, *_] = reader.predict_batch(list(digits.test.images), charset="0 1 2", min_known=0)
    assert answer.known is not None
    assert answer.removed is not None
    assert answer.label in {"0", "1", "2"}


def test_rows_have_the_columns_in_the_writers_order(reader: Recognizer) -> None:
    rule = reader.answer_rule(PredictOptions(charset="digits"))
    assert rule.columns == OPTIONAL_COLUMNS


def test_outliers_are_measured_by_it(reader: Recognizer, digits: Dataset, run: Run) -> None:
    assert digits.test is not None
    assert run.known is not None
    report = measure(reader, digits.test, ["scribbles"], 30)
    [scribbled] = report.sets
    assert report.known_threshold == run.known.threshold
    assert scribbled.rejected >= 0.5
    assert scribbled.auroc > 0.8
    subject = EvalTarget(model="known", dataset="mnist", split="test")
    assert json.loads(outliers_json(report, subject))["min_known"] == run.known.threshold


def test_a_run_folder_keeps_it(run: Run) -> None:
    assert run.folder is not None
    found = load_run(run.folder)
    assert found.known == run.known
    assert isinstance(found.known, KnownRecord)
    assert found.known.withheld <= 0.005
    assert found.known.outliers_n == 40
    assert found.network.known is not None
    assert run.network.known is not None
    assert torch.equal(found.network.known.out.weight, run.network.known.out.weight)


@pytest.mark.parametrize(("form", "suffix"), [("pt2", ".pt2"), ("state-dict", ".state-dict.pt")])
def test_other_formats_hold_it_or_do_without(run: Run, tmp_path: Path, form: str, suffix: str) -> None:
    assert run.folder is not None
    assert export_model(run.folder, tmp_path / f"model{suffix}", format=form).difference <= 1e-4


def test_an_exported_file_is_built_again_with_it(run: Run, reader: Recognizer, tmp_path: Path) -> None:
    run.export(tmp_path / "again.onnx")
    done = export_model(tmp_path / "again.onnx", tmp_path / "again.pt2", format="pt2")
    assert done.spec.known == reader.spec.known


def test_evaluation_counts_what_is_withheld(reader: Recognizer, digits: Dataset) -> None:
    assert digits.test is not None
    measured = evaluate_split(reader, digits.test, digits.alphabet.labels)
    assert measured.known is not None
    assert measured.withheld == int((measured.known < measured.known_threshold).sum())
    assert measured.reliability.counts.sum() == measured.n - measured.unread - measured.withheld


def test_teaching_keeps_it_for_the_same_characters_and_drops_it_for_others(
    run: Run, digits: Dataset, tmp_path: Path
) -> None:
    run.export(tmp_path / "base.onnx")
    images = [np.asarray(image) for image in digits.train.images[:40]]
    texts = [digits.alphabet.labels[label] for label in digits.train.labels[:40]]
    same = fine_tune(tmp_path / "base.onnx", Examples.of(images, texts))
    assert same.spec.known is not None
    assert run.known is not None
    assert same.spec.known.threshold <= run.known.threshold
    more = fine_tune(tmp_path / "base.onnx", Examples.of(images, ["x"] * 20 + texts[20:]))
    assert more.spec.known is None
    assert open_model(more.content).answers(np.zeros((1, 1, 28, 28), np.float32))[1] is None


def test_outliers_leave_the_softmax_alone() -> None:
    logits = torch.zeros(6, 10, requires_grad=True)
    known = torch.zeros(6, requires_grad=True)
    batch = Batch(torch.zeros(6, 1, 28, 28), torch.arange(4), 4, 2)
    Objective(replace(RECIPE, dataset="x"), torch.zeros(10))(logits, batch, known).backward()
    assert logits.grad is not None
    assert known.grad is not None
    assert not logits.grad[4:].any()
    assert (known.grad[:4] < 0).all()
    assert (known.grad[4:] > 0).all()


def test_a_network_without_outliers_has_no_such_head() -> None:
    assert create_model("kalamos_xs", 10).known is None


@pytest.fixture
def own_folder(digits: Dataset, tmp_path: Path) -> Path:
    """Twelve images of each of three digits, in folders of one's own."""
    for label in (1, 4, 7):
        (tmp_path / "own" / str(label)).mkdir(parents=True)
        for row in np.flatnonzero(digits.train.labels == label)[:12].tolist():
            cv2.imwrite(str(tmp_path / "own" / str(label) / f"{row}.png"), digits.train.images[row])
    return tmp_path / "own"


QUICK = {"arch": "cnn2", "epochs": 1}


def test_a_network_for_ones_own_images_learns_what_is_no_character(own_folder: Path, tmp_path: Path) -> None:
    with pytest.warns(CalibrationWarning, match="known is calibrated on 2 validation images: fewer than 200"):
        run = train(own_folder, run_dir=tmp_path / "run", **QUICK)
    assert run.known is not None
    assert (run.known.n, run.known.outliers_n) == (2, 50)
    assert (run.recipe.outliers, run.recipe.outlier_sets) == (500, ("scribbles", "shapes", "textures"))
    assert load_run(tmp_path / "run").recipe == run.recipe
    reader = run.export(tmp_path / "own.onnx")
    assert reader.spec.known == run.known
    card = render_card(tmp_path / "own.onnx")
    assert "What is a character at all" in card
    assert "known is calibrated on 2 validation images" in card
    assert "images of one's own. Licence: not stated" in card
    assert "**500 images of no character**: of the sets scribbles, shapes, textures, drawn by kalamos" in card


def test_it_is_the_same_for_a_seed_and_needs_no_data_files(
    own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    for data, seed in ((tmp_path / "none", 42), (None, 42), (None, 43)):
        with pytest.warns(CalibrationWarning):
            run = train(own_folder, data_dir=data, seed=seed, **QUICK)
        weights.append(run.network.known.hidden.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("off", [{"outliers": 0}, {"recipe": Recipe()}])
def test_it_can_be_left_out(own_folder: Path, off: dict) -> None:
    run = train(own_folder, **QUICK, **off)
    assert run.known is None
    assert run.network.known is None
    assert run.recipe.outliers == 0


def test_only_images_of_ones_own_ask_for_it(own_folder: Path) -> None:
    assert choose_recipe(own_folder, None).outliers == "auto"
    assert choose_recipe(own_folder, None, {"outliers": 7}).outliers == 7
    assert choose_recipe("mnist", None).outliers == 0
    assert choose_recipe(own_folder, Recipe()).outliers == 0
    assert choose_recipe(own_folder, None, {"outlier_sets": ["shapes"]}).outlier_sets == ("shapes",)


@pytest.mark.parametrize(("images", "outliers"), [(1, 500), (249, 500), (700, 1400), (10**6, 4000)])
def test_how_many_outliers_are_enough(images: int, outliers: int) -> None:
    chosen = choose_outliers(Recipe(outliers="auto"), images, DIGITS)
    assert chosen.outliers == outliers
    assert choose_outliers(chosen, 5, DIGITS) == chosen
    named = choose_outliers(Recipe(outliers="auto", outlier_sets=("shapes",)), images, DIGITS)
    assert (named.outliers, named.outlier_sets) == (outliers, ("shapes",))


def test_a_run_keeps_what_its_outliers_were_drawn_from(digits_folder: Path, tmp_path: Path) -> None:
    drawn = ("paper", "photos", "scribbles", "shapes", "textures")
    assert choose_outliers(Recipe(outliers=9), 5, DIGITS, tmp_path).outlier_sets == drawn
    # Of Arabic's other scripts only the digits are there.
    with_digits = choose_outliers(Recipe(outliers=9), 5, ARABIC_28, digits_folder).outlier_sets
    assert with_digits == (*drawn, "script:mnist")
    assert choose_outliers(Recipe(), 5, DIGITS, tmp_path).outlier_sets == ()


def test_naming_the_sets_that_are_there_draws_the_same(tmp_path: Path) -> None:
    preprocessor = Preprocessor(DEFAULT_STEPS)
    named = choose_outliers(Recipe(outliers=9), 5, DIGITS, tmp_path).outlier_sets
    there = exposure(DIGITS, preprocessor, 12, 3, tmp_path)
    assert np.array_equal(there, exposure(DIGITS, preprocessor, 12, 3, tmp_path, sets=named))


def test_a_network_that_cannot_tell_does_without(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(network: StagedNetwork) -> None:
        raise RecipeError("this network has no stages to judge by whether an image is a character")

    monkeypatch.setattr(StagedNetwork, "add_known_head", refuse)
    assert train(own_folder, **QUICK).recipe.outliers == 0
    with pytest.raises(RecipeError, match="no stages"):
        train(own_folder, outliers=20, **QUICK)


def test_the_sets_that_a_recipe_names_are_those_drawn_from(own_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown outlier set 'shape'; did you mean 'shapes'"):
        train(own_folder, outlier_sets=["shape"], **QUICK)
    with pytest.raises(DatasetError, match="ahcd: there is no"):
        train(own_folder, outlier_sets=["script:ahcd"], data_dir=tmp_path, **QUICK)


def test_separable_scores_do_not_raise_the_threshold_beyond_a_half() -> None:
    record = fit_known(np.linspace(5, 9, 500), np.linspace(-9, -5, 100))
    assert record.threshold == 0.5
    assert (record.withheld, record.answered) == (0.0, 0.0)


@pytest.mark.parametrize(
    "wrong", [{"scale": 0.0}, {"threshold": 1.5}, {"withheld": -0.1}, {"n": 0}, {"outliers_n": 0}]
)
def test_a_spec_with_an_impossible_record_is_refused(wrong: dict[str, float]) -> None:
    record = KnownRecord(1.0, 0.0, 0.5, 100, 0.0, 100, 0.0)
    with pytest.raises(ModelFileError, match=f"known.{next(iter(wrong))}"):
        replace(record, **wrong)


def test_a_graph_without_the_output_is_refused() -> None:
    import onnx

    from kalamos.learn.export.onnx_format import with_spec
    from kalamos.zoo import model_path

    path = model_path("digits")
    graph = onnx.load(path)
    [known] = [output for output in graph.graph.output if output.name == "known"]
    graph.graph.output.remove(known)
    content = with_spec(graph, open_model(path).spec)
    with pytest.raises(ModelFileError, match="an output 'known' that the graph has not"):
        open_model(content)
