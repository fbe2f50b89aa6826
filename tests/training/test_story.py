from __future__ import annotations

import copy
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

for name in ("torch", "safetensors"):
    pytest.importorskip(name, reason="needs the extra 'train'")

from kalamos.cli.train import _print_outcome  # noqa: E402
from kalamos.errors import DatasetError, KalamosError, TrainingError  # noqa: E402
from kalamos.evaluation.parts import run_split  # noqa: E402
from kalamos.export.sources import from_run  # noqa: E402
from kalamos.training import load_run  # noqa: E402
from kalamos.training.run import load_config  # noqa: E402
from kalamos.training.story import MAX_BYTES, parse_metadata  # noqa: E402

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
        b" " * (MAX_BYTES + 1),
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
        parse_metadata(set_at(story, way, value))
