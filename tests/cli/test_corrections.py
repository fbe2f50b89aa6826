"""`kalamos corrections` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.cli.conftest import Command

from kalamos.finetune.corrections import Corrections
from kalamos.predictions import Prediction

IMAGE = np.eye(12, dtype=np.uint8) * 255


def test_a_team_reviews_a_folder(command: Command, tmp_path: Path) -> None:
    folder, tasks = tmp_path / "digits", tmp_path / "tasks.json"
    kept = Corrections(folder)
    for label in ("1", "1", "2", None):
        kept.add(IMAGE, label, Prediction("1", 0.6))
    done = command("corrections", "export", folder, "-o", tasks, "--model", "digits")
    assert done.code == 0
    assert done.rows == [
        f"{tasks}: 4 tasks",
        f"{tmp_path / 'tasks.xml'}: the labelling configuration, 10 labels",
    ]
    again = command("corrections", "export", folder, "-o", tasks)
    assert again.code == 2
    assert "is there already" in again.err

    documents = json.loads(tasks.read_text("utf-8"))
    for document, said in zip(documents, (["7"], ["7"], ["2", "3"], []), strict=True):
        document["annotations"] = [
            {"result": [{"from_name": "label", "value": {"choices": [label]}}]} for label in said
        ]
    tasks.write_text(json.dumps(documents), "utf-8")
    told = command("corrections", "import", folder, tasks, "--dry-run")
    assert told.rows[0].endswith("2 changed, 1 unreviewed, 1 disagreed (nothing is written)")
    assert sorted(str(entry.label) for entry in kept) == ["1", "1", "2", "None"]
    done = command("corrections", "import", folder, tasks)
    assert done.code == 1
    assert done.rows == [f"{folder}: 2 changed, 1 unreviewed, 1 disagreed", "  1 is 7: 2"]
    assert "disagreed: annotators say 2 (1), 3 (1)" in done.err
    assert sorted(str(entry.label) for entry in kept) == ["2", "7", "7", "None"]
    done = command("corrections", "import", folder, tasks)
    assert done.rows == [f"{folder}: 2 confirmed, 1 unreviewed, 1 disagreed"]


def test_damaged_images_are_told(command: Command, tmp_path: Path) -> None:
    kept = Corrections(tmp_path / "digits")
    entries = [kept.add(IMAGE, "1") for _ in range(30)]
    for entry in entries[1:]:
        (kept.folder / entry.image).write_bytes(b"no image")
    done = command("corrections", "export", kept.folder, "-o", tmp_path / "tasks.json")
    assert (done.code, done.rows[0]) == (1, f"{tmp_path / 'tasks.json'}: 1 task")
    assert len(done.err.splitlines()) == 21
    assert "and 9 more" in done.err
