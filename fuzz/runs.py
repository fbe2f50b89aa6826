"""Run folders whose `run.json` holds values of other types, or other values."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from fuzz.case import Case, mutated

__all__ = ["base_folder", "draw", "edited_document"]

ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        10**400,
        1.5,
        -0.0,
        1e308,
        "",
        "x",
        "1",
        "\0",
        "é" * 300,
        "../../x",
        "0" * 5_000,
    ),
    *(
        [],
        [1],
        [[]],
        [None] * 3,
        ["a", "a"],
        {},
        {"x": 1},
        {"": {}},
        [{"step": "grey"}] * 3,
        "\ud800",
        "2026-13-40",
    ),
)
"""Values that are not what a key should hold."""


def edited_document(rng: random.Random, document: Any, *, changes: int = 1) -> Any:
    """A JSON document with values replaced by odd ones, removed, repeated, or in other places."""
    document = json.loads(json.dumps(document))
    for _ in range(changes):
        holders = list(_holders(document))
        if not holders:
            return rng.choice(ODD)
        holder = rng.choice(holders)
        if isinstance(holder, dict):
            key = rng.choice(list(holder))
            match rng.randrange(6):
                case 0:
                    del holder[key]
                case 1:
                    holder[rng.choice(("x", key + " ", "", "format_version"))] = holder[key]
                case _:
                    holder[key] = _odd(rng, holder[key])
        else:
            place = rng.randrange(len(holder))
            match rng.randrange(5):
                case 0:
                    del holder[place]
                case 1:
                    holder.append(holder[place])
                case _:
                    holder[place] = _odd(rng, holder[place])
    return rng.choice(ODD) if rng.random() < 0.02 else document


def _odd(rng: random.Random, value: Any) -> Any:
    if isinstance(value, int | float) and rng.random() < 0.3:
        return rng.choice((-value, value * 10**6, float(value), str(value), [value]))
    if rng.random() < 0.1:
        return rng.choice(([value], {"x": value}, str(value)))
    return rng.choice(ODD)


def _holders(document: Any) -> list[Any]:
    """Every object and list in it that holds something."""
    found, pending = [], [document]
    while pending:
        each = pending.pop()
        if isinstance(each, dict | list) and each:
            found.append(each)
            pending += each.values() if isinstance(each, dict) else each
    return found


STORY: dict[str, Any] = {
    "alphabet": {"name": "digits", "labels": list("0123456789")},
    "data_sha256": "00" * 32,
    "counts": {"train": 60, "val": 10},
    "created": "2026-01-01T00:00:00+00:00",
    "environment": {
        "kalamos": "0.1.0",
        "torch": "2.6.0",
        "python": "3.11.7",
        "machine": "x86_64",
        "threads": "1",
    },
    "outcome": {
        "temperature": 1.2,
        "val_accuracy": 0.9,
        "kept_epoch": 1,
        "selective": {"n": 10, "points": [{"accuracy": 0.99, "coverage": 0.8, "threshold": 0.7}]},
    },
}
"""A finished run's, but for its recipe, which `base_folder` has kalamos write."""


def draw(rng: random.Random) -> Case:
    """The text of a `run.json`. The child puts it into a run folder; a recipe's keys are kalamos's own."""
    story = STORY | {"recipe": _recipe()}
    if rng.random() < 0.1:
        text = mutated(rng, json.dumps(story).encode())
        return Case("run.json: bytes changed", "run.json", text)
    document = edited_document(rng, story, changes=rng.choice((1, 1, 1, 2, 3)))
    text = json.dumps(document)
    if rng.random() < 0.05:
        text = text.replace("1.2", rng.choice(("NaN", "Infinity", "-Infinity", "1e999", "[" * 5_000)))
    return Case("run.json: values of other types", "run.json", text.encode())


def _recipe() -> dict[str, Any]:
    kept = json.loads((Path(__file__).parent / "recipe.json").read_text("utf-8"))
    assert isinstance(kept, dict)
    return kept


def base_folder() -> Path:
    """A run folder of a network that was never trained; made once, in the child process."""
    import numpy as np

    from kalamos.alphabets import DIGITS
    from kalamos.learn.models import create_model
    from kalamos.learn.recipe import Recipe
    from kalamos.learn.run import Run, SplitPlan, save_run, write_split

    folder = Path(os.environ["KALAMOS_FUZZ_FOLDER"]) / "run"
    folder.mkdir(exist_ok=True)
    rows = np.arange(70)
    write_split(folder, SplitPlan(rows[:60], rows[60:], rows[:0]))
    network = create_model("kalamos_xs", 10).eval()
    outcome = STORY["outcome"]
    run = Run(
        recipe=Recipe.from_mapping(_recipe()),
        alphabet=DIGITS,
        network=network,
        temperature=outcome["temperature"],
        data_sha256=STORY["data_sha256"],
        train_count=60,
        val_count=10,
        val_accuracy=outcome["val_accuracy"],
        kept_epoch=1,
        selective=None,
        epochs=(),
        created=STORY["created"],
        environment=STORY["environment"],
    )
    save_run(run, folder)
    return folder
