from __future__ import annotations

import base64
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from kalamos.datasets import load_dataset
from kalamos.errors import DatasetError, OutputError, UsageError
from kalamos.finetune import label_studio
from kalamos.finetune.corrections import Correction, Corrections
from kalamos.finetune.label_studio import NOT_A_CHARACTER, Review, export_tasks, import_reviews
from kalamos.images import load_grey
from kalamos.predictions import Prediction

IMAGE = np.eye(12, dtype=np.uint8) * 255
GUESS = Prediction("1", 0.6)
FROM_LABEL_STUDIO = Path(__file__).parent / "label_studio_export.json"
"""What Label Studio 1.23.2 exported of tasks like these, imported and annotated over its API."""


@pytest.fixture
def kept(tmp_path: Path) -> Corrections:
    return Corrections(tmp_path / "corrections" / "digits")


def exported(kept: Corrections, tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    done = export_tasks(kept.folder, tmp_path / "tasks.json", force=True, **options)
    tasks: list[dict[str, Any]] = json.loads(done.path.read_text("utf-8"))
    return tasks


def annotation(label: str | None = None, *, typed: str | None = None, **more: Any) -> dict[str, Any]:
    """As Label Studio exports one."""
    result: list[dict[str, Any]] = []
    common = {"id": "a1B2", "to_name": "image", "origin": "manual"}
    if label is not None:
        result.append({**common, "from_name": "label", "type": "choices", "value": {"choices": [label]}})
    if typed is not None:
        result.append({**common, "from_name": "other", "type": "textarea", "value": {"text": [typed]}})
    return {
        "id": 5,
        "completed_by": 1,
        "was_cancelled": False,
        "ground_truth": False,
        "result": result,
        **more,
    }


def reviewed(kept: Corrections, tmp_path: Path, *said: list[Any], **options: Any) -> tuple[Review, ...]:
    """Export, annotate the tasks in turn, and import."""
    tasks = exported(kept, tmp_path)
    for task, given in zip(tasks, said, strict=True):
        task["annotations"] = given
    return imported(kept, tmp_path, tasks, **options)


def imported(kept: Corrections, tmp_path: Path, document: Any, **options: Any) -> tuple[Review, ...]:
    path = tmp_path / "export.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return import_reviews(kept.folder, path, **options)


def labels(kept: Corrections) -> list[str | None]:
    return [entry.label for entry in sorted(kept, key=lambda entry: entry.image.rpartition("/")[2])]


def in_order(kept: Corrections, *given: str | None) -> list[Correction]:
    """Keep an image for each label; their names are in this order."""
    from datetime import UTC, datetime

    return [
        kept.add(IMAGE, label, GUESS, datetime(2026, 3, 31, 12, 0, place, tzinfo=UTC))
        for place, label in enumerate(given)
    ]


def test_a_task_has_the_image_and_both_labels(kept: Corrections, tmp_path: Path) -> None:
    [entry] = in_order(kept, "7")
    [task] = exported(kept, tmp_path)
    head, _, content = task["data"]["image"].partition(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(load_grey(base64.b64decode(content)), IMAGE)
    assert entry.image.endswith(task["data"]["correction"])
    guess, by_hand = task["predictions"]
    assert by_hand["result"][0]["value"] == {"choices": ["7"]}
    assert guess["result"][0]["value"] == {"choices": ["1"]}
    assert (guess["model_version"], guess["score"]) == ("digits", 0.6)
    assert "score" not in by_hand


def test_every_label_can_be_chosen(kept: Corrections, tmp_path: Path) -> None:
    given = ["<", '"', "&", "ب", "a b", "not a character", None]
    in_order(kept, *given)
    tasks = exported(kept, tmp_path, model="digits")
    view = ET.parse(tmp_path / "tasks.xml").getroot()  # noqa: S314  (written here)
    choices = [choice.get("value") for choice in view.iter("Choice")]
    assert choices[:10] == list("0123456789")
    assert {*given[:-1], NOT_A_CHARACTER} <= set(choices)
    chosen = [task["predictions"][-1]["result"][0]["value"]["choices"][0] for task in tasks]
    assert chosen == [*given[:-1], NOT_A_CHARACTER]
    assert tasks[0]["predictions"][0]["model_version"].startswith("digits 20")


def test_many_labels_are_a_list_to_select_from() -> None:
    assert 'layout="inline"' in label_studio.labelling_config("abc")
    assert 'layout="select"' in label_studio.labelling_config([str(number) for number in range(100)])


def test_a_key_chooses_the_label_that_it_shows() -> None:
    view = ET.fromstring(label_studio.labelling_config(["7", "a", "A", "B", "ab", "ب"]))  # noqa: S314
    keys = {choice.get("value"): choice.get("hotkey") for choice in view.iter("Choice")}
    assert {value: key for value, key in keys.items() if key} == {"7": "7", "B": "b"}


def test_no_class_can_be_called_what_says_that_there_is_none(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "7")
    [review] = reviewed(kept, tmp_path, [annotation(typed=NOT_A_CHARACTER)])
    assert review.outcome == "refused"
    assert "characters" in review.why


def test_label_studio_serves_the_images_of_a_folder(kept: Corrections, tmp_path: Path) -> None:
    entries = in_order(kept, "/", "a&b", None, "100%")
    tasks = exported(kept, tmp_path, local_files=tmp_path)
    for task, entry in zip(tasks, entries, strict=True):
        head, _, path = task["data"]["image"].partition("?d=")
        assert head == "/data/local-files/"
        assert "&" not in path
        assert (tmp_path / unquote(path)) == kept.folder / entry.image
    with pytest.raises(UsageError, match="is not inside"):
        exported(kept, tmp_path, local_files=tmp_path / "elsewhere")


def test_nothing_is_replaced_unless_told(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "7")
    for name in ("tasks.json", "tasks.xml"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(UsageError, match="there already"):
            export_tasks(kept.folder, tmp_path / "tasks.json")
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    export_tasks(kept.folder, tmp_path / "tasks.json")
    export_tasks(kept.folder, tmp_path / "tasks.json", force=True)


def test_what_cannot_be_exported(kept: Corrections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        export_tasks(tmp_path / "nowhere", tmp_path / "tasks.json")
    kept.folder.mkdir(parents=True)
    with pytest.raises(UsageError, match="no corrections"):
        export_tasks(kept.folder, tmp_path / "tasks.json")
    in_order(kept, "7", "1")
    with pytest.raises(UsageError, match=r"\.json file"):
        export_tasks(kept.folder, tmp_path / "tasks.xml")
    with pytest.raises(OutputError):
        export_tasks(kept.folder, tmp_path / "nowhere" / "tasks.json")
    monkeypatch.setattr(label_studio, "MAX_EMBEDDED_BYTES", 500)
    with pytest.raises(UsageError, match="--local-files"):
        export_tasks(kept.folder, tmp_path / "tasks.json")
    assert not list(tmp_path.glob("tasks.*"))
    export_tasks(kept.folder, tmp_path / "tasks.json", local_files=tmp_path)


def test_a_damaged_image_and_damaged_lines_stop_nothing(kept: Corrections, tmp_path: Path) -> None:
    first, second = in_order(kept, "7", "1")
    (kept.folder / first.image).write_bytes(b"no image")
    strange = [{"guess": 7}, {"confidence": "high"}, {"confidence": float("nan")}, {"label": "\ud800"}]
    with (kept.folder / "corrections.jsonl").open("a", encoding="utf-8") as log:
        for number, change in enumerate(strange):
            (kept.folder / f"{number}.png").write_bytes((kept.folder / second.image).read_bytes())
            log.write(json.dumps({**second.__dict__, "image": f"{number}.png", **change}) + "\n")
    done = export_tasks(kept.folder, tmp_path / "tasks.json")
    assert done.tasks == 1
    assert [problem.where for problem in done.problems] == [first.image]


def test_reviewed_labels_come_back(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "7", "1", "1", None, "3")
    said = (
        [annotation("7")],
        [annotation("7")],
        [annotation(NOT_A_CHARACTER)],
        [annotation(NOT_A_CHARACTER, typed="ß ")],
        [],
    )
    reviews = reviewed(kept, tmp_path, *said)
    assert [review.outcome for review in reviews] == [
        "confirmed",
        "changed",
        "changed",
        "changed",
        "unreviewed",
    ]
    assert [(review.before, review.after) for review in reviews[1:4]] == [
        ("1", "7"),
        ("1", None),
        (None, "ß"),
    ]
    assert labels(kept) == ["7", "7", None, "ß", "3"]
    assert set(load_dataset(kept.folder).alphabet.labels) == {"7", "ß", "3"}
    assert {entry.guess for entry in kept} == {"1"}


def test_a_second_import_changes_nothing(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "1", "1")
    reviewed(kept, tmp_path, [annotation("7")], [annotation("1")])
    before = {path: path.read_bytes() for path in kept.folder.rglob("*") if path.is_file()}
    again = import_reviews(kept.folder, tmp_path / "export.json")
    assert [review.outcome for review in again] == ["confirmed", "confirmed"]
    assert {path: path.read_bytes() for path in kept.folder.rglob("*") if path.is_file()} == before


def test_a_dry_run_says_the_same_and_writes_nothing(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "1")
    before = {path: path.read_bytes() for path in kept.folder.rglob("*") if path.is_file()}
    [told] = reviewed(kept, tmp_path, [annotation("7")], dry_run=True)
    assert {path: path.read_bytes() for path in kept.folder.rglob("*") if path.is_file()} == before
    assert import_reviews(kept.folder, tmp_path / "export.json") == (told,)
    assert labels(kept) == ["7"]


def test_annotators_who_disagree(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "1", "1", "1", "1")
    two_to_one = [annotation("7"), annotation("7"), annotation("2")]
    said = (
        [annotation("7"), annotation("2")],
        two_to_one,
        [*two_to_one, annotation("9", ground_truth=True)],
        [annotation("7"), annotation("2", was_cancelled=True), annotation()],
    )
    reviews = reviewed(kept, tmp_path, *said)
    assert [review.outcome for review in reviews] == ["disagreed", "disagreed", "changed", "changed"]
    assert reviews[1].why == "annotators say 7 (2), 2 (1)"
    assert labels(kept) == ["1", "1", "9", "7"]
    reviews = import_reviews(kept.folder, tmp_path / "export.json", majority=True)
    assert [review.outcome for review in reviews] == ["disagreed", "changed", "confirmed", "confirmed"]
    assert labels(kept) == ["1", "7", "9", "7"]


def test_a_task_that_was_imported_twice_is_one(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "1", "1")
    first, second = exported(kept, tmp_path)
    agreed = [{**first, "annotations": [annotation("7")]}, {**first, "annotations": [annotation("7")]}]
    disputed = [{**second, "annotations": [annotation(label)]} for label in ("7", "2")]
    reviews = imported(kept, tmp_path, [*agreed, *disputed])
    assert [review.outcome for review in reviews] == ["changed", "disagreed"]
    assert labels(kept) == ["7", "1"]


def test_what_changed_since_the_export_is_left_alone(kept: Corrections, tmp_path: Path) -> None:
    [entry] = in_order(kept, "1")
    tasks = exported(kept, tmp_path)
    kept.relabel(entry, "2")
    tasks[0]["annotations"] = [annotation("7")]
    [review] = imported(kept, tmp_path, tasks)
    assert (review.outcome, labels(kept)) == ("outdated", ["2"])
    assert "was 1" in review.why
    assert "is 2 now" in review.why


def test_labels_that_look_alike_are_not_typed_in(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "A", "1", "1")
    cyrillic, hidden = "\u0410", "1\u200b"
    reviews = reviewed(kept, tmp_path, [], [annotation(typed=cyrillic)], [annotation(typed=hidden)])
    assert [review.outcome for review in reviews] == ["unreviewed", "refused", "refused"]
    assert "U+0410" in reviews[1].why
    assert labels(kept) == ["A", "1", "1"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (7, "not a list"),
        ([7], "a number"),
        ([{"result": {"a": 1}}], "an object"),
        ([{"result": [{"from_name": "label", "value": {"choices": "7"}}] * 2}], "2 labels"),
        ([{"result": [{"from_name": "label", "value": {"choices": [7]}}]}], "not a list of texts"),
        ([{"result": [{"from_name": "label"}]}], "null"),
        ([annotation("a\nb")], "control character"),
        ([annotation(" ")], "blank"),
        ([annotation("x" * 60)], "60 characters"),
        ([annotation("\ud800")], "control character"),
        ([annotation("7"), {"result": "7"}], "a text"),
    ],
)  # fmt: skip
def test_annotations_that_cannot_be_used(kept: Corrections, tmp_path: Path, said: Any, why: str) -> None:
    in_order(kept, "1", "1")
    refused, used = reviewed(kept, tmp_path, said, [annotation("7")])
    assert refused.outcome == "refused"
    assert why in refused.why
    assert used.outcome == "changed"
    assert labels(kept) == ["1", "7"]


def test_tasks_of_others_and_paths_out_of_the_folder(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "1")
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    [task] = exported(kept, tmp_path)
    names = ["../../outside.png", str(outside), "1/../../../outside.png", "", "corrections.jsonl", ".lock"]
    said = [annotation("7")]
    foreign: list[Any] = [
        {"data": {**task["data"], "correction": name}, "annotations": said} for name in names
    ]
    foreign += [7, None, {}, {"data": []}, {"data": {"correction": [1]}}, {"data": {"image": "x"}}]
    foreign.append({"data": {"correction": task["data"]["correction"]}, "annotations": said})
    reviews = imported(kept, tmp_path, foreign)
    assert [review.outcome for review in reviews] == ["absent"] * len(names) + ["refused"] * 7
    assert outside.read_bytes() == b"mine"
    assert labels(kept) == ["1"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\x00\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[" + "9" * 5_000 + "]", "not JSON"),
        ('{"id": 1}', "an object"),
        ("7", "a number"),
        ("[" + "[]," * 500 + "[]]", "values in it"),
        (json.dumps("x" * 5_000), "bytes"),
    ],
)
def test_files_that_are_no_list_of_tasks(
    kept: Corrections, tmp_path: Path, text: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_order(kept, "1")
    monkeypatch.setattr(label_studio, "MAX_JSON_VALUES", 1000 if "[]," in text else 10**6)
    monkeypatch.setattr(label_studio, "MAX_EXPORT_BYTES", 1000 if "xxx" in text else 10**6)
    with pytest.raises(DatasetError, match=why):
        imported(kept, tmp_path, text)
    with pytest.raises(DatasetError, match="cannot be read"):
        import_reviews(kept.folder, tmp_path)
    assert labels(kept) == ["1"]


def test_the_short_format_is_named(kept: Corrections, tmp_path: Path) -> None:
    in_order(kept, "1")
    with pytest.raises(UsageError, match="JSON-MIN"):
        imported(kept, tmp_path, [{"image": "x", "label": "7", "annotation_id": 3}])


def test_an_image_that_goes_meanwhile_is_outdated(
    kept: Corrections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry] = in_order(kept, "1")
    relabel = Corrections.relabel

    def late(self: Corrections, *arguments: Any) -> Correction:
        (kept.folder / entry.image).unlink()
        return relabel(self, *arguments)

    monkeypatch.setattr(Corrections, "relabel", late)
    [review] = reviewed(kept, tmp_path, [annotation("7")])
    assert review.outcome == "outdated"
    assert "not there any more" in review.why


def test_what_label_studio_itself_exported(kept: Corrections, tmp_path: Path) -> None:
    told = [task["data"] for task in json.loads(FROM_LABEL_STUDIO.read_text("utf-8"))]
    for entry, data in zip(in_order(kept, *(data["kept"] for data in told)), told, strict=True):
        named = (kept.folder / entry.image).with_name(data["correction"])
        (kept.folder / entry.image).rename(named)
        line = {**entry.__dict__, "image": named.relative_to(kept.folder).as_posix()}
        with (kept.folder / "corrections.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
    reviews = import_reviews(kept.folder, FROM_LABEL_STUDIO)
    assert [(review.before, review.outcome, review.after) for review in reviews] == [
        ("0", "confirmed", "0"),
        ("1", "changed", "7"),
        ("3", "disagreed", "3"),
        ("5", "changed", "6"),  # two annotations, one of them ground truth
        ("6", "unreviewed", "6"),  # skipped
        ("8", "unreviewed", "8"),
        ("/", "changed", None),
        ("a<b&", "changed", "ß"),  # typed, with the choice still made
        (None, "changed", "1"),
        ("100%", "confirmed", "100%"),
    ]
    assert labels(kept) == [review.after for review in reviews]


@pytest.mark.skipif(
    not find_spec("label_studio_sdk"), reason="needs label-studio-sdk, which is not in an extra"
)
@pytest.mark.filterwarnings("ignore")
def test_the_sdk_of_label_studio_takes_what_we_write(kept: Corrections, tmp_path: Path) -> None:
    from label_studio_sdk.converter import Converter  # type: ignore[import-not-found]
    from label_studio_sdk.label_interface import LabelInterface  # type: ignore[import-not-found]

    in_order(kept, "<", '"&', None, "100%")
    tasks = exported(kept, tmp_path, model="digits")
    config = (tmp_path / "tasks.xml").read_text("utf-8")
    interface = LabelInterface(config)
    interface.validate()
    for number, task in enumerate(tasks, start=1):
        assert interface.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []
        task |= {"id": number, "annotations": [annotation(typed="new") if number == 4 else annotation("7")]}
        assert interface.validate_annotation(task["annotations"][0])
    (tmp_path / "annotated.json").write_text(json.dumps(tasks), "utf-8")
    converter = Converter(config=config, project_dir=None)
    converter.convert_to_json(str(tmp_path / "annotated.json"), str(tmp_path / "json"), is_dir=False)
    reviews = import_reviews(kept.folder, tmp_path / "json" / "result.json")
    assert [review.after for review in reviews] == ["7", "7", "7", "new"]
    converter.convert_to_json_min(str(tmp_path / "annotated.json"), str(tmp_path / "short"), is_dir=False)
    short = json.loads((tmp_path / "short" / "result.json").read_text("utf-8"))
    assert [row.get("label", row.get("other")) for row in short] == ["7", "7", "7", "new"]
    with pytest.raises(UsageError, match="JSON-MIN"):
        import_reviews(kept.folder, tmp_path / "short" / "result.json")
