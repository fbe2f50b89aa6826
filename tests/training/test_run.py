from __future__ import annotations

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
from kalamos.architectures import create_model
from kalamos.errors import TrainingError
from kalamos.training import EpochReport, Run, load_run, save_run
from kalamos.training.run import RunConfig, claim_folder, is_finished, load_config, save_config
from kalamos.training.splitting import SplitPlan, read_split

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
    with pytest.raises(TrainingError, match="not finished; go on with it: kalamos train --resume"):
        load_run(tmp_path)


def test_a_finished_run_still_has_its_plan(tiny_run: Run, tiny_run_folder: Path) -> None:
    assert is_finished(tiny_run_folder)
    plan = load_config(tiny_run_folder)
    assert (plan.recipe, plan.data_sha256) == (tiny_run.recipe, tiny_run.data_sha256)
    assert len(plan.split.train) == 270


def test_an_unfinished_run_in_the_way_can_be_gone_on_with(plan: RunConfig, tmp_path: Path) -> None:
    save_config(plan, tmp_path)
    with pytest.raises(TrainingError, match=rf"is not empty; go on with it \(--resume {tmp_path}\)"):
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
