from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalamos.alphabets import Alphabet
from kalamos.cli.train import _print_outcome
from kalamos.datasets import Dataset
from kalamos.errors import (
    DatasetError,
    KalamosError,
    TrainingError,
)
from kalamos.evaluation.evaluate import run_split
from kalamos.learn import EpochReport, Recipe, Run, load_run, save_run
from kalamos.learn.export import from_run
from kalamos.learn.models import create_model
from kalamos.learn.run import (
    MAX_METADATA_BYTES,
    RunConfig,
    SplitPlan,
    claim_folder,
    is_finished,
    load_config,
    parse_metadata,
    plan_split,
    read_split,
    save_config,
    write_split,
)

FILES = {
    "best.safetensors",
    "curves.png",
    "last.safetensors",
    "log.csv",
    "model.safetensors",
    "run.json",
    "split.safetensors",
    "tensorboard",
}


@pytest.fixture
def folder(tiny_run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run folder, to be spoilt."""
    return shutil.copytree(tiny_run_folder, tmp_path / "run")


def assert_same(one: Run, other: Run) -> None:
    for field in fields(Run):
        if field.compare and field.name != "network":
            assert getattr(one, field.name) == getattr(other, field.name), field.name
    ours, theirs = one.network.state_dict(), other.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_comes_back_exactly(tiny_run: Run, tiny_run_folder: Path) -> None:
    again = load_run(tiny_run_folder)
    assert_same(tiny_run, again)
    assert again.folder == tiny_run.folder == tiny_run_folder
    assert tiny_run.split is not None
    assert again.split is not None
    for part in ("train", "val", "test"):
        assert np.array_equal(getattr(again.split, part), getattr(tiny_run.split, part))
    assert not again.network.training
    images = torch.rand(4, 1, 28, 28)
    # Equal but for the order of summation: the weights lie differently in memory.
    assert torch.allclose(tiny_run.network(images), again.network(images), atol=1e-5)


def test_other_alphabets_come_back_too(tiny_run: Run, tmp_path: Path) -> None:
    letters = Alphabet("abjad", ("ا", "ب", "لا", "é"))
    run = replace(
        tiny_run,
        alphabet=letters,
        network=create_model("kalamos_xs", len(letters)).eval(),
        temperature=1 / 3,
        epochs=(EpochReport(1, 0.1, 1e-300, 1.0, 2 / 3, math.inf, 1 / 3),),
    )
    save_run(run, tmp_path)
    assert_same(run, load_run(tmp_path))


def test_the_folder_holds_what_it_should_and_no_pickle(tiny_run_folder: Path) -> None:
    assert {path.name for path in tiny_run_folder.iterdir()} == FILES
    for name in ("model", "best", "last"):
        content = (tiny_run_folder / f"{name}.safetensors").read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert ("network." if name == "last" else "") + "head.weight" in header


def test_the_split_is_kept_with_the_run(tiny_run_folder: Path, tiny_run: Run) -> None:
    split = read_split(tiny_run_folder)
    assert (len(split.train), len(split.val), len(split.test)) == (270, 30, 0)
    assert (tiny_run.train_count, tiny_run.val_count) == (270, 30)
    assert sorted([*split.train.tolist(), *split.val.tolist()]) == list(range(300))


def test_the_story_holds_nothing_of_the_machine(tiny_run_folder: Path) -> None:
    text = (tiny_run_folder / "run.json").read_text(encoding="utf-8")
    assert "/" not in text
    assert str(Path.home().name) not in json.loads(text)["environment"].values()


def test_the_log_is_for_spreadsheets(tiny_run_folder: Path, tiny_run: Run) -> None:
    header, *rows = (tiny_run_folder / "log.csv").read_text(encoding="utf-8").splitlines()
    assert header == "epoch,loss,val_loss,val_accuracy,lr,images_per_second,seconds"
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, len(tiny_run.epochs) + 1))


def test_a_run_lasted_as_long_as_its_epochs(tiny_run: Run) -> None:
    assert tiny_run.seconds == pytest.approx(sum(epoch.seconds for epoch in tiny_run.epochs))
    assert tiny_run.seconds > 0


@pytest.fixture
def plan(tiny_run: Run) -> RunConfig:
    rows = np.arange(6)
    return RunConfig.now(tiny_run.recipe, tiny_run.alphabet, "abc", SplitPlan(rows[:3], rows[3:5], rows[5:]))


def test_a_plan_comes_back_and_is_no_finished_run(plan: RunConfig, tmp_path: Path) -> None:
    save_config(plan, tmp_path)
    assert not is_finished(tmp_path)
    again = load_config(tmp_path)
    assert replace(again, split=plan.split) == plan
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(again.split, name), getattr(plan.split, name))
    with pytest.raises(TrainingError, match="not finished; continue it: kalamos train --resume"):
        load_run(tmp_path)


def test_a_finished_run_still_has_its_plan(tiny_run: Run, tiny_run_folder: Path) -> None:
    assert is_finished(tiny_run_folder)
    plan = load_config(tiny_run_folder)
    assert (plan.recipe, plan.data_sha256) == (tiny_run.recipe, tiny_run.data_sha256)
    assert len(plan.split.train) == 270


def test_an_unfinished_run_in_the_way_can_be_gone_on_with(plan: RunConfig, tmp_path: Path) -> None:
    save_config(plan, tmp_path)
    with pytest.raises(TrainingError, match=rf"is not empty; continue it \(--resume {tmp_path}\)"):
        claim_folder(tmp_path)


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    claim_folder(tmp_path / "runs" / "one")
    claim_folder(tmp_path / "runs" / "one")  # still empty
    assert (tmp_path / "runs" / "one").is_dir()


def test_a_folder_with_anything_in_it_is_never_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(TrainingError, match="is not empty; choose another --run-dir"):
        claim_folder(folder)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    for way in (tmp_path / "run", tmp_path / "run" / "inside"):
        with pytest.raises(TrainingError, match="cannot be made"):
            claim_folder(way)
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize("name", ["model.safetensors", "run.json", "log.csv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(TrainingError, match=f"has no {name}; give the folder that `kalamos train` wrote"):
        load_run(folder)


def test_what_is_no_folder_is_a_training_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"has no run\.json"):
        load_run(tmp_path / "absent")
    with pytest.raises(TrainingError):
        load_run(folder / "run.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *product(
            ["model.safetensors", "run.json"], [b"", b"\0\xff\xfe", b"{", b"{}", b"[]", b"3", b"[" * 100_000]
        ),
        *product(["log.csv"], [b"\0\xff\xfe", b"epoch,loss\n1,2\n", b"epoch,loss\n1," + b"9" * 200_000]),
    ],
)
def test_a_damaged_file_is_a_training_error(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(TrainingError, match="is not a run folder that fits together"):
        load_run(folder)


@pytest.mark.parametrize("cut", [1, 7, 100, -1])
def test_truncated_weights_are_a_training_error(folder: Path, cut: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TrainingError):
        load_run(folder)


Spoil = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda story: story["outcome"].pop("temperature"),
        lambda story: story.update(outcome=3),
        lambda story: story.update(outcome={}),
        lambda story: story.pop("outcome"),
        lambda story: story.pop("counts"),
        lambda story: story.update(counts=[]),
        lambda story: story.pop("environment"),
        lambda story: story.update(stranger=1),
        lambda story: story["recipe"].update(arch="kalamos_xxl"),
        lambda story: story["recipe"].update(lr="fast"),
        lambda story: story["recipe"].update(preprocessing=None),
        lambda story: story.update(recipe=None),
        lambda story: story.update(alphabet="digits"),
        lambda story: story["alphabet"].update(labels=["0", "0"]),
        lambda story: story["alphabet"].update(labels=[0, 1]),
        lambda story: story["alphabet"]["labels"].append("x"),  # one class more than the weights have
    ],
)
def test_a_story_that_does_not_fit_is_a_training_error(folder: Path, spoil: Spoil) -> None:
    story = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    spoil(story)
    (folder / "run.json").write_text(json.dumps(story), encoding="utf-8")
    with pytest.raises(TrainingError, match="is not a run folder that fits together"):
        load_run(folder)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_the_story_is_a_training_error_or_harmless(
    tiny_run_folder: Path, tmp_path: Path, data: st.DataObject
) -> None:
    for name in ("log.csv", "model.safetensors"):
        shutil.copy(tiny_run_folder / name, tmp_path)
    content = bytearray((tiny_run_folder / "run.json").read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    (tmp_path / "run.json").write_bytes(content)
    with suppress(TrainingError):
        load_run(tmp_path)


@pytest.fixture(scope="module")
def written(digits: Dataset) -> Dataset:
    """The synthetic digits by 15 writers, in no order."""
    return replace(digits, train=replace(digits.train, groups=np.random.default_rng(0).integers(0, 15, 300)))


def assert_parts(plan: SplitPlan, count: int = 300) -> None:
    together = np.concatenate([plan.train, plan.val, plan.test])
    assert sorted(together.tolist()) == list(range(count))
    for rows in (plan.train, plan.val, plan.test):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()


def per_class(dataset: Dataset, rows: np.ndarray) -> set[int]:
    return set(np.bincount(dataset.train.labels[rows], minlength=10).tolist())


def test_every_class_gets_its_share(digits: Dataset) -> None:
    plan = plan_split(digits, Recipe(val_fraction=0.2))
    assert_parts(plan)
    assert per_class(digits, plan.val) == {6}
    assert len(plan.test) == 0


def test_shares_are_of_the_whole(digits: Dataset) -> None:
    plan = plan_split(digits, Recipe(val_fraction=0.2, test_fraction=0.5))
    assert_parts(plan)
    assert (per_class(digits, plan.test), per_class(digits, plan.val)) == ({15}, {6})


def test_the_seed_decides_and_nothing_else(digits: Dataset) -> None:
    recipe = Recipe(val_fraction=0.2, test_fraction=0.2)
    one, again = plan_split(digits, recipe), plan_split(digits, replace(recipe, lr=0.5, arch="cnn2"))
    other = plan_split(digits, replace(recipe, seed=43))
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    "fractions", [{}, {"test_fraction": 0.2}, {"folds": 5}, {"folds": 4, "test_fraction": 0.2}]
)
def test_no_writer_is_on_two_sides(written: Dataset, fractions: dict[str, float]) -> None:
    plan = plan_split(written, Recipe(split="grouped", val_fraction=0.2, **fractions))  # type: ignore[arg-type]
    assert_parts(plan)
    groups = written.train.groups
    assert groups is not None
    sides = [set(groups[rows].tolist()) for rows in (plan.train, plan.val, plan.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 15
    assert sides[1]
    assert bool(sides[2]) == ("test_fraction" in fractions)


def test_every_image_is_held_out_in_one_fold(digits: Dataset) -> None:
    plans = [plan_split(digits, Recipe(folds=7, fold=fold, test_fraction=0.1)) for fold in range(7)]
    for plan in plans:
        assert_parts(plan)
        np.testing.assert_array_equal(plan.test, plans[0].test)
    held = np.concatenate([plan.val for plan in plans])
    assert sorted(held.tolist()) == sorted(set(range(300)) - set(plans[0].test.tolist()))


def test_an_official_validation_part_is_taken_unless_folds_are_asked_for(digits: Dataset) -> None:
    official = np.arange(0, 300, 7)
    dataset = replace(digits, val_rows=official)
    for fraction in (0.0, 0.5):
        plan = plan_split(dataset, Recipe(val_fraction=fraction, seed=5))
        assert_parts(plan)
        np.testing.assert_array_equal(plan.val, official)
    with_test = plan_split(dataset, Recipe(test_fraction=0.2))
    assert_parts(with_test)
    assert set(with_test.val.tolist()) == set(official.tolist()) - set(with_test.test.tolist())
    assert len(plan_split(dataset, Recipe(folds=10)).val) == 30


def test_what_cannot_be_split_is_told(digits: Dataset) -> None:
    with pytest.raises(DatasetError, match=r'does not say which images belong together; .*column "group"'):
        plan_split(digits, Recipe(split="grouped"))
    with pytest.raises(DatasetError, match="nothing is held out to validate on; set val_fraction or folds"):
        plan_split(digits, Recipe(val_fraction=0))
    alone = replace(digits, train=digits.train.take(np.arange(10)))  # one image a class: none to spare
    with pytest.raises(DatasetError, match="nothing is held out to validate on; give a class two images"):
        plan_split(alone, Recipe())


def test_a_plan_comes_back(digits: Dataset, tmp_path: Path) -> None:
    plan = plan_split(digits, Recipe(test_fraction=0.2))
    write_split(tmp_path, plan)
    again = read_split(tmp_path)
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(plan, name), getattr(again, name))
        assert getattr(again, name).dtype == np.int64
    write_split(tmp_path, replace(plan, test=plan.test[:0]))
    assert read_split(tmp_path).test.shape == (0,)


for name in ("torch", "safetensors"):
    pytest.importorskip(name, reason="needs the extra 'train'")


NOT_TEXT = st.text(st.characters(exclude_categories=())) | st.just("\ud800")
ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 2**63, 10**400, -(10**400), 1e308, float("inf"), float("nan"), "", "x", [], {}])
    | NOT_TEXT
    | st.recursive(st.integers() | NOT_TEXT, lambda inner: st.lists(inner) | st.dictionaries(NOT_TEXT, inner))
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every value in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(way for key, each in inside for way in places(each, (*path, key)))]


@st.composite
def mutants(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """A document of which up to three values are replaced, removed, added or nested deeply; as JSON."""
    changed: Any = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(changed)[1:])) if places(changed)[1:] else ("",)
        target = changed
        for key in way:
            target = target[key]
        if not isinstance(target, dict | list):
            continue
        match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case "replace":
                target[last] = draw(ODD)
            case "remove":
                del target[last]
            case _ if isinstance(target, dict):
                target[draw(NOT_TEXT)] = draw(ODD)
            case _:
                target.append(draw(ODD))
    return json.dumps(changed).encode()


@pytest.fixture(scope="module")
def story(tiny_run_folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((tiny_run_folder / "run.json").read_text(encoding="utf-8"))
    return document


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_run_of_odd_values_is_refused_or_can_be_used(
    tiny_run_folder: Path, tmp_path: Path, story: dict[str, Any], digits: Any, data: st.DataObject
) -> None:
    for each in ("log.csv", "model.safetensors", "split.safetensors"):
        if not (tmp_path / each).exists():
            shutil.copy(tiny_run_folder / each, tmp_path)
    (tmp_path / "run.json").write_bytes(data.draw(mutants(story)))
    with suppress(TrainingError):
        load_config(tmp_path)
    with suppress(DatasetError):
        run_split(digits, tmp_path, "val")
    try:
        run = load_run(tmp_path)
    except TrainingError:
        return
    # What was let in can be told and exported, or is refused with a typed error.
    _print_outcome(run, tmp_path)
    with suppress(KalamosError):
        from_run(run, "odd").spec.to_json()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5000,
        b"\xff\xfe{\x00",
        b"null",
        b" " * (MAX_METADATA_BYTES + 1),
    ],
    ids=["empty", "deep lists", "deep objects", "long number", "utf-16", "null", "long"],
)
def test_what_is_no_story(content: bytes, tmp_path: Path, digits: Any) -> None:
    (tmp_path / "run.json").write_bytes(content)
    for load in (load_run, load_config):
        with pytest.raises(TrainingError, match="is not a run folder that fits together"):
            load(tmp_path)
    with pytest.raises(DatasetError):
        run_split(digits, tmp_path, "val")


def set_at(document: dict[str, Any], way: str, value: object) -> bytes:
    changed = copy.deepcopy(document)
    *folders, last = way.split(".")
    target = changed
    for folder in folders:
        target = target[folder]
    target[last] = value
    return json.dumps(changed).encode()


@pytest.mark.parametrize(
    ("way", "value"),
    [
        ("environment", []),
        ("environment", {}),
        ("environment.torch", 2),
        ("created", 20261128),
        ("data_sha256", None),
        ("counts.val", "30"),
        ("counts.train", 10**400),
        ("outcome.val_accuracy", "x"),
        ("outcome.val_accuracy", float("nan")),
        ("outcome.kept_epoch", 1.5),
        ("outcome.temperature", 0),
        ("outcome.temperature", True),
        ("outcome.selective", {"n": 1e400, "points": []}),
        ("alphabet.labels", {"0": 1, "1": 2}),
        ("alphabet.name", "\ud800"),
        ("alphabet.labels", [str(label) for label in range(200_000)]),
    ],
)
def test_values_of_other_types_are_refused(story: dict[str, Any], way: str, value: object) -> None:
    with pytest.raises(KalamosError):
        parse_metadata(set_at(story, way, value)).parse()
