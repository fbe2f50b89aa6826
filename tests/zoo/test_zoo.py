from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import kalamos
from kalamos import zoo
from kalamos.errors import ModelError, ModelNotFoundError, OutputError
from kalamos.model_file import (
    Metric,
    OperatingPoint,
    Quantisation,
    RobustnessRecord,
    SelectiveAccuracy,
    read_spec,
)
from kalamos.model_file.spec import LEARNT_BEFORE, NOT_STATED
from kalamos.zoo import card_path, find_model, model_path, names, render_card, write_card


@pytest.mark.parametrize("name", names())
def test_the_shipped_card_says_what_its_model_says(name: str) -> None:
    shipped = card_path(name).read_text(encoding="utf-8") if card_path(name).exists() else "no card"
    assert shipped == render_card(model_path(name))


def test_a_card_tells_the_file_from_any_other() -> None:
    path = model_path("digits")
    text = render_card(path)
    content = path.read_bytes()
    assert text.startswith("# digits\n")
    assert hashlib.sha256(content).hexdigest() in text
    assert f"{len(content):,} bytes" in text
    assert "10 classes (digits): 0 1 2 3 4 5 6 7 8 9" in text
    spec = read_spec(path)
    assert spec.training is not None
    assert f"{spec.training.n:,} images of the official train split of `mnist`" in text


def test_images_learnt_from_besides_are_not_said_to_be_of_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    path = model_path("digits")
    told = render_card(path)
    assert "`) and of `build/rendered/digits`" in told
    spec = read_spec(path)
    assert spec.training is not None
    bare = {**spec.training.recipe, "also": []}
    alone = replace(spec, training=replace(spec.training, recipe=bare))
    monkeypatch.setattr(zoo, "check_model", lambda _: alone)
    assert "`), seed 42" in render_card(path)


def sources(monkeypatch: pytest.MonkeyPatch, **recipe: object) -> list[str]:
    training = read_spec(model_path("digits")).training
    assert training is not None
    plain = {
        key: value
        for key, value in training.recipe.items()
        if key not in {"also", "teachers", "outliers", "weights", LEARNT_BEFORE}
    }
    lines = with_figures(monkeypatch, training=replace(training, recipe={**plain, **recipe}))
    start = lines.index("## Sources")
    return lines[start + 2 : lines.index("## Training") - 1]


def test_a_card_names_every_source_and_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    told = sources(
        monkeypatch,
        dataset="emnist-47",
        also=["unipen", "build/rendered/latin-47"],
        outliers=20_000,
        outlier_sets=["photos", "shapes", "script:kmnist"],
        teachers=["latin-large"],
        weights="",
    )
    assert told == [
        "- **emnist-47**: Cohen et al. 2017, part of ByMerge. Licence: not stated by the source",
        "- **unipen**: Guyon et al. 1994 (train_r01_v07, 14 of its 21 sources). Licence: CC BY 4.0",
        "- **build/rendered/latin-47**: drawn from the fonts of recipes/handwriting-fonts.txt. Licence: "
        "SIL Open Font License 1.1 or Apache License 2.0, font by font",
        "- **20,000 images of no character**: of the sets photos, shapes, drawn by kalamos (photos: from "
        "Matplotlib's sample photograph)",
        "- **kmnist**: Clanuwat et al. 2018. Licence: CC BY-SA 4.0",
        "- **latin-large**: a model that this one learnt from; its card names its sources",
    ]


def test_images_of_ones_own_have_no_stated_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sources(monkeypatch, dataset="./mnist", outliers=0) == [
        "- **./mnist**: images of one's own. Licence: not stated"
    ]


def test_a_file_that_does_not_say_its_outliers_sets_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    [data, outliers] = sources(monkeypatch, outliers=500, outlier_sets=[])
    assert data.startswith("- **mnist**: LeCun et al. 1998. Licence: not stated by the source")
    assert outliers.startswith("- **500 images of no character**: ")
    assert outliers.endswith("which, this file does not say")


@pytest.mark.parametrize(
    "odd", [{"also": 3, "teachers": {}}, {"outliers": "many"}, {"weights": 5, "dataset": None}]
)
def test_a_recipe_may_say_anything(monkeypatch: pytest.MonkeyPatch, odd: dict[str, object]) -> None:
    assert sources(monkeypatch, **odd)[0].startswith("- **")


def test_every_measured_figure_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = Metric(
        dataset="mnist",
        split="test",
        sha256="ab" * 32,
        n=10_000,
        accuracy=0.9951,
        interval=(0.9935, 0.9963),
        ece=0.0021,
        date="2026-03-31",
        kalamos_version="0.1.0",
    )
    path = model_path("digits")
    two = (metric, replace(metric, dataset="usps", accuracy=0.5))
    monkeypatch.setattr(zoo, "check_model", lambda where: replace(read_spec(where), metrics=two))
    text = render_card(path)
    line = "| mnist test | 10,000 | 99.51% | 99.35% to 99.63% | 0.21% | 2026-03-31 | `" + "ab" * 32 + "` |"
    assert line in text.splitlines()
    assert "| usps test | 10,000 | 50.00% |" in text


def test_a_card_is_written_beside_its_model(tmp_path: Path) -> None:
    model = tmp_path / "mine.onnx"
    shutil.copy(model_path("digits"), model)
    assert write_card(model) == tmp_path / "mine.md"
    assert (tmp_path / "mine.md").read_text(encoding="utf-8") == render_card(model)


def test_no_card_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError):
        write_card(tmp_path / "mine.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.onnx"]
    shutil.copy(model_path("digits"), tmp_path / "good.onnx")
    (tmp_path / "good.md").mkdir()
    with pytest.raises(OutputError):
        write_card(tmp_path / "good.onnx")


def with_figures(monkeypatch: pytest.MonkeyPatch, **figures: object) -> list[str]:
    monkeypatch.setattr(zoo, "check_model", lambda where: replace(read_spec(where), **figures))
    return render_card(model_path("digits")).splitlines()


def test_a_card_tells_which_confidence_reaches_which_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    points = (OperatingPoint(0.98, 0.0, 1.0), OperatingPoint(0.9925, 0.7512345, 0.8))
    lines = with_figures(monkeypatch, selective=SelectiveAccuracy(500, points))
    start = lines.index("| target | confidence at least | answered | wrong of these |")
    assert lines[start + 2 : start + 6] == [
        "| 95.0% | 0.0000 | 100.00% | 10 of 500 |",
        "| 99.0% | 0.7512 | 80.00% | 3 of 400 |",
        "| 99.5% | not reached | | |",
        "| 99.9% | not reached | | |",
    ]
    assert any("the 500 validation images" in line for line in lines)


def test_a_card_tells_of_shift_and_outliers_where_they_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(line.startswith("## Under") for line in with_figures(monkeypatch, robustness=()))
    records = (
        RobustnessRecord("outliers", "a|b", 0.98765, 1000, "2026-03-31"),
        RobustnessRecord("shift", "mean", 0.9612, 26_000, "2026-04-01"),
    )
    lines = with_figures(monkeypatch, robustness=records)
    assert lines.index("## Under shift") < lines.index("| mean | 26,000 | 96.12% | 2026-04-01 |")
    assert lines.index("## Against what is no character of it") > lines.index("## Under shift")
    assert "| a\\|b | 1,000 | 0.9877 | 2026-03-31 |" in lines


def test_a_card_tells_that_a_model_is_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    how = Quantisation("entropy", ("a",), 320, 500, 0.99, 0.992, 0.998)
    lines = with_figures(monkeypatch, quantisation=how)
    assert (
        "- **Quantised**: int8 by entropy, ranges from 320 training images, 1 layers in float; "
        "99.00% of 500 validation images right, in float 99.20%; the same answer to 99.80%"
    ) in lines


def test_a_card_states_no_licence_that_nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "- **Licence**: Apache-2.0" in with_figures(monkeypatch)
    assert "- **Licence**: not stated" in with_figures(monkeypatch, licence=NOT_STATED)
    spec = read_spec(model_path("digits"))
    assert spec.training is not None
    taught = {"taught": {"model": "digits", "sha256": "ab" * 32, "licence": "Apache-2.0"}}
    lines = with_figures(
        monkeypatch, licence=NOT_STATED, training=replace(spec.training, recipe=taught), selective=None
    )
    assert "- **Licence**: not stated (made from `digits`: Apache-2.0)" in lines
    assert any("that of `digits`, which this model was taught from" in line for line in lines)


def test_a_card_tells_a_temperature_from_few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    few = SelectiveAccuracy(30, (OperatingPoint(0.98, 0.0, 1.0),))
    lines = with_figures(monkeypatch, selective=few, temperature=1.0)
    assert "- **Temperature**: 1.000, not fitted: 30 validation images are fewer than 100" in lines


def test_nothing_in_a_card_commands_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_spec(model_path("digits"))
    assert spec.training is not None
    evil = "x\x1b[31m\x9b\u202e\rgnp"
    recipe = {"taught": {"model": evil, "sha256": evil, "licence": evil}, evil: evil}
    for training in (replace(spec.training, recipe=recipe), replace(spec.training, recipe={evil: evil})):
        text = "\n".join(with_figures(monkeypatch, training=training, preprocessing=({"step": evil},)))
        assert r"\x1b[31m" in text
        assert not set(text) & set("\x1b\x9b\u202e\r")


ROOT = Path(__file__).parents[2]
each_model = pytest.mark.parametrize("name", names())


def test_digits_is_shipped_and_is_the_default() -> None:
    assert "digits" in names()
    assert list(names()) == sorted(names())
    assert kalamos.load().spec == read_spec(model_path("digits"))


@each_model
def test_a_shipped_model_opens_and_says_who_it_is(name: str) -> None:
    spec = kalamos.load(name).spec
    assert spec.name == name
    assert spec.licence == "Apache-2.0"
    assert spec.training is not None
    assert spec.training.split == "train"
    assert spec.feature_maps


@each_model
def test_a_shipped_model_says_nothing_of_the_machine_that_made_it(name: str) -> None:
    content = model_path(name).read_bytes()
    for trace in (b".py", b"site-packages", b"/home/", b"/root/", b"/tmp/", b"/Users/", b"Traceback"):
        assert trace not in content


def test_a_shipped_name_goes_before_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").write_bytes(b"something else")
    assert find_model("digits") == model_path("digits")
    assert find_model("./digits") == Path("digits")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("digit", r"^no model is called 'digit'; did you mean 'digits'\?$"),
        ("greek", r"^no model is called 'greek'; give a model file, or one of: .*digits"),
        ("runs/mine.onnx", r"^runs/mine.onnx: no such model file; "),
        ("digits.onnx", r"^digits.onnx: no such model file; did you mean 'digits'\?$"),
        ("x" * 300, r"^no model is called 'x+'; "),
    ],
)
def test_a_model_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match=told):
        find_model(wrong)


@each_model
def test_the_card_lies_beside_its_model(name: str) -> None:
    assert card_path(name) == model_path(name).with_suffix(".md")
    assert card_path(name).is_file(), f"write it with: kalamos evaluate {name} DATASET --record"


def test_the_readme_lists_the_models_as_they_are() -> None:
    check = [sys.executable, ROOT / "docs" / "make_tables.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_card_names_what_the_model_it_began_from_had_learnt_from() -> None:
    card = model_path("latin").with_suffix(".md").read_text("utf-8")
    assert read_spec(model_path("latin")).training.recipe["also"] == ["build/rendered/latin-47"]
    assert card.count("\n- **unipen**: ") == 1
    assert card.count("\n- **emnist-47**: ") == 1
