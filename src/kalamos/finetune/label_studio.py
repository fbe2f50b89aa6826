"""Corrections reviewed by a team: tasks for Label Studio, and what its annotators said, read back.

```
corrections/ ── export_tasks ── tasks.json, tasks.xml ── Label Studio ── its JSON export ── import_reviews ─┐
     └───────────────────────────────── relabelled ─────────────────────────────────────────────────────────┘
```

A task is one kept image. It comes with two pre-annotations: the label that was kept, and the model's guess
with its confidence. Annotations are what reviewers say; a task without one was not reviewed, and its image
stays as it is.

What comes back is not trusted: a task names an image by the name of its file, which has to be one of the
folder's own, and no path is ever made of what it says.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args
from urllib.parse import quote
from xml.etree import ElementTree as ET

from kalamos.datasets import SkippedFile
from kalamos.datasets.class_names import alike_names, describe_alike
from kalamos.errors import AlphabetError, DatasetError, ImageError, KalamosError, UsageError, first_line
from kalamos.finetune.corrections import Correction, Corrections
from kalamos.finetune.examples import MAX_LABEL_CHARACTERS, check_label
from kalamos.images import load_grey
from kalamos.model_file import read_spec
from kalamos.utils.atomic_write import atomic_write, check_writable, write_text
from kalamos.zoo import find_model

__all__ = [
    "NOT_A_CHARACTER",
    "ExportedTasks",
    "Outcome",
    "Review",
    "export_tasks",
    "import_reviews",
    "labelling_config",
]

IMAGE: Final = "image"
LABEL: Final = "label"
OTHER: Final = "other"
"""The names of the tags in the labelling configuration: the picture, the choices, and a field to type in."""

NOT_A_CHARACTER: Final = "not a character: no class, and nothing to be learnt from it"
"""The choice for it. Longer than any label may be, so that no class can be called so."""

KEPT: Final = "kept by hand"
"""The model version of the labels that people kept, beside that of the model."""

MAX_CHOICES_SHOWN: Final = 60
"""Choices that are laid out; more become a list to select from."""

MAX_EMBEDDED_BYTES: Final = 200 * 2**20
"""Of a file of tasks with its images inside; Label Studio takes uploads of 250 MB."""

MAX_EXPORT_BYTES: Final = 2**29
"""Of a file that Label Studio exported."""

MAX_JSON_VALUES: Final = 20_000_000
"""Values in it, told by its punctuation: each takes about 64 bytes of memory, however short it is written."""

MAX_NAMED_LABELS: Final = 5
"""Labels that a message about annotators who disagree names."""

Outcome = Literal["changed", "confirmed", "unreviewed", "disagreed", "outdated", "refused", "absent"]
"""What became of a correction.

changed: it has another label now. confirmed: reviewers said what it is. unreviewed: nobody said anything, or
skipped it. disagreed: reviewers say different things. outdated: its label was changed here since the export.
refused: what was said cannot be used. absent: the folder has no such image.
"""

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

UNUSED: Final[frozenset[Outcome]] = frozenset({"disagreed", "outdated", "refused", "absent"})
"""Outcomes of reviews that changed nothing, and should have."""


@dataclass(frozen=True)
class ExportedTasks:
    """What `export_tasks` wrote.

    Attributes:
        path: the tasks, a JSON file.
        config: the labelling configuration, an XML file.
        tasks: how many.
        labels: the choices, without that for "not a character".
        problems: images that cannot be read; they are in no task.
    """

    path: Path
    config: Path
    tasks: int
    labels: tuple[str, ...]
    problems: tuple[SkippedFile, ...]


@dataclass(frozen=True)
class Review:
    """What became of one correction.

    Attributes:
        correction: the name of its file, or the number of a task that names none.
        outcome: in a word.
        before: the label that it had; None for "not a character", and where the folder has no such image.
        after: the label that it has now.
        why: of what could not be used.
    """

    correction: str
    outcome: Outcome
    before: str | None = None
    after: str | None = None
    why: str = ""


def export_tasks(
    folder: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    local_files: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> ExportedTasks:
    """Write the corrections in a folder as tasks for Label Studio, with the labelling configuration.

    Args:
        folder: of `Corrections`.
        destination: a new `.json` file; the configuration has its name, with `.xml`.
        model: the model that guessed, a name or a file: its alphabet is offered too, and its name and date
            are the guesses' model version. By default that is the folder's name.
        local_files: the folder that Label Studio serves, its `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`: tasks
            refer to the images in it. By default the images are inside the tasks, as data URIs.
        force: replace existing files.

    Raises:
        UsageError: no corrections, a file that is there already, a name without `.json`, `folder` outside
            `local_files`, or more than `MAX_EMBEDDED_BYTES` of tasks with images inside.
        ModelError: the model cannot be read.
        OutputError: the files cannot be written.

    >>> import tempfile
    >>> import numpy as np
    >>> from kalamos.predictions import Prediction
    >>> with tempfile.TemporaryDirectory() as place:
    ...     entry = Corrections(f"{place}/digits").add(np.eye(9), "7", Prediction("1", 0.6))
    ...     done = export_tasks(f"{place}/digits", f"{place}/tasks.json")
    ...     [task] = json.loads(done.path.read_text("utf-8"))
    >>> done.tasks, done.labels, [each["model_version"] for each in task["predictions"]]
    (1, ('1', '7'), ['digits', 'kept by hand'])
    """
    kept, target = _existing(folder), Path(destination)
    if target.suffix.lower() != ".json":
        raise UsageError(f"{target}: tasks are a .json file", remedy="name it tasks.json")
    config = target.with_suffix(".xml")
    for path in (target, config):
        if path.exists() and not force:
            raise UsageError(f"{path}: is there already", remedy="name another file, or add --force")
        check_writable(path)
    spec = None if model is None else read_spec(find_model(model))
    version = kept.folder.resolve().name if spec is None else f"{spec.name} {spec.created}"
    root = None if local_files is None else _served(kept.folder, local_files)
    entries = list(kept)
    used = {said for entry in entries for said in (entry.label, entry.guess) if said is not None}
    ordered = () if spec is None else spec.alphabet.labels
    labels = (*ordered, *sorted(used - set(ordered)))
    problems: list[SkippedFile] = []
    tasks = _tasks(kept.folder, entries, root, version, problems)
    with atomic_write(target) as file:
        count = _write_json(file, tasks, None if root is not None else MAX_EMBEDDED_BYTES)
        if not count:
            unread = f" that can be read: {problems[0]}" if problems else ""
            raise UsageError(f"{kept.folder}: no corrections{unread}", remedy="name another folder")
    write_text(config, labelling_config(labels))
    return ExportedTasks(target, config, count, labels, tuple(problems))


def labelling_config(labels: Sequence[str]) -> str:
    """Return the labelling configuration of a project, XML: a choice a label, and a field for others.

    >>> print(labelling_config(["<", "7"]).replace(NOT_A_CHARACTER, "..."), end="")
    <View>
      <Image name="image" value="$image" zoom="true" maxWidth="320px" />
      <Choices name="label" toName="image" choice="single" layout="inline">
        <Choice value="&lt;" />
        <Choice value="7" hotkey="7" />
        <Choice value="..." />
      </Choices>
      <TextArea name="other" toName="image" maxSubmissions="1" placeholder="a label that is not listed" />
    </View>
    """
    view = ET.Element("View")
    ET.SubElement(view, "Image", name=IMAGE, value=f"${IMAGE}", zoom="true", maxWidth="320px")
    layout = "inline" if len(labels) <= MAX_CHOICES_SHOWN else "select"
    choices = ET.SubElement(view, "Choices", name=LABEL, toName=IMAGE, choice="single", layout=layout)
    keys = Counter(label.lower() for label in labels)
    for value in (*labels, NOT_A_CHARACTER):
        # Without, Label Studio numbers the choices, and the key 1 would choose 0.
        own_key = len(value) == 1 and value.isascii() and value.isalnum() and keys[value.lower()] == 1
        choice = ET.SubElement(choices, "Choice", value=value)
        if own_key:
            choice.set("hotkey", value.lower())
    note = "a label that is not listed"
    ET.SubElement(view, "TextArea", name=OTHER, toName=IMAGE, maxSubmissions="1", placeholder=note)
    ET.indent(view)
    text: str = ET.tostring(view, encoding="unicode")
    return f"{text}\n"


def import_reviews(
    folder: str | os.PathLike[str],
    export: str | os.PathLike[str],
    *,
    majority: bool = False,
    dry_run: bool = False,
) -> tuple[Review, ...]:
    """Give corrections the labels that reviewers agree on; what is disputed or not reviewed stays as it is.

    All annotations of an image count, of all its tasks, but for those that were skipped ("cancelled"). One
    that is marked as ground truth settles a dispute. A second import of the same file changes nothing.

    Args:
        folder: of `Corrections`, where the tasks were exported from.
        export: what Label Studio exports as JSON.
        majority: take the label that more than half of the annotations give.
        dry_run: change nothing, and return what would become of each.

    Returns:
        One for each correction that the file names, in its order.

    Raises:
        UsageError: no such folder, or an export in another format of Label Studio.
        DatasetError: the export cannot be read, is no list of tasks, or is larger than `MAX_EXPORT_BYTES` or
            `MAX_JSON_VALUES`.
        OutputError: the folder cannot be written; what was changed until then stays changed.
    """
    kept = _existing(folder)
    entries = {_name(entry): entry for entry in kept}
    said: dict[str, list[_Task]] = {}
    for number, document in enumerate(_read_tasks(Path(export)), start=1):
        task = _task(document, number)
        said.setdefault(task.correction, []).append(task)
    found = {entry.label for entry in entries.values()} | {entry.guess for entry in entries.values()}
    alike = _alike(
        {label for label in found if label is not None},
        [answer for tasks in said.values() for task in tasks for answer in task.answers],
    )
    reviews = []
    for name, tasks in said.items():
        review = _review(name, tasks, entries.get(name), majority=majority, alike=alike)
        if review.outcome == "changed" and not dry_run:
            try:
                kept.relabel(entries[name], review.after)
            except UsageError as error:  # somebody else changed it just now
                review = Review(name, "outdated", review.before, review.before, error.problem)
        reviews.append(review)
    return tuple(reviews)


def _existing(folder: str | os.PathLike[str]) -> Corrections:
    if not Path(folder).is_dir():
        raise UsageError(
            f"{os.fspath(folder)}: no such folder",
            remedy="name a folder of corrections, such as corrections/digits",
        )
    return Corrections(folder)


def _name(entry: Correction) -> str:
    """The name of a correction's file: it stays the same in every class."""
    return entry.image.rpartition("/")[2]


def _served(folder: Path, local_files: str | os.PathLike[str]) -> Path:
    """The corrections' folder as Label Studio names it: relative to the folder that it serves."""
    root = Path(local_files).resolve()
    try:
        return folder.resolve().relative_to(root)
    except ValueError:
        raise UsageError(
            f"{folder}: is not inside {os.fspath(local_files)}, which Label Studio serves",
            remedy="name a folder that holds it, or leave --local-files out",
        ) from None


def _tasks(
    folder: Path, entries: Iterable[Correction], root: Path | None, version: str, problems: list[SkippedFile]
) -> Iterator[dict[str, Any]]:
    for entry in entries:
        path = folder / entry.image
        try:
            load_grey(path)
            content = path.read_bytes()
        except (ImageError, OSError) as error:
            problems.append(SkippedFile(entry.image, _reason(error, path)))
            continue
        name = _name(entry)
        predictions = [_prediction(f"{name}-kept", entry.label, KEPT)]
        if entry.guess is not None:
            # Label Studio shows the last one first, unless the project says otherwise.
            predictions.insert(0, _prediction(f"{name}-guess", entry.guess, version, entry.confidence))
        yield {
            "data": {
                IMAGE: _data_uri(content) if root is None else _local_url(root / entry.image),
                "correction": name,
                "kept": entry.label,
                "guess": entry.guess,
                "confidence": entry.confidence,
            },
            "predictions": predictions,
        }


def _reason(error: ImageError | OSError, path: Path) -> str:
    if isinstance(error, ImageError):
        return error.problem.removeprefix(f"{path}: ")
    return error.strerror or "cannot be read"


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _local_url(path: Path) -> str:
    """The address under which Label Studio serves a file; names of classes may hold a % or an &.

    >>> _local_url(Path("corrections/digits/%2F/1.png"))
    '/data/local-files/?d=corrections/digits/%252F/1.png'
    """
    return f"/data/local-files/?d={quote(path.as_posix())}"


def _prediction(place: str, label: str | None, version: str, score: float | None = None) -> dict[str, Any]:
    choice = NOT_A_CHARACTER if label is None else label
    result = {
        "id": place,
        "from_name": LABEL,
        "to_name": IMAGE,
        "type": "choices",
        "value": {"choices": [choice]},
    }
    told = {} if score is None else {"score": score}
    return {"model_version": version, **told, "result": [result]}


def _write_json(file: BinaryIO, tasks: Iterable[dict[str, Any]], limit: int | None) -> int:
    """Write a list of tasks, a line each; return how many."""
    count = size = 0
    for task in tasks:
        line = json.dumps(task, ensure_ascii=False, allow_nan=False).encode()
        size += len(line) + 2
        if limit is not None and size > limit:
            raise UsageError(
                f"the tasks with their images inside are larger than {limit:,} bytes",
                remedy="let Label Studio serve the images: --local-files FOLDER",
            )
        file.write((b",\n" if count else b"[\n") + line)
        count += 1
    file.write(b"\n]\n")
    return count


@dataclass(frozen=True)
class _Task:
    """What reviewers said in one task.

    Attributes:
        correction: the name of the file; of a task that names none, its number.
        kept: the label when it was exported.
        answers: the labels that annotations give.
        why: what is wrong with the task; then nothing in it counts.
    """

    correction: str
    kept: str | None = None
    answers: tuple[_Answer, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class _Answer:
    """What one annotation says."""

    label: str | None
    """None for "not a character"."""
    typed: bool
    """Not chosen from the list."""
    settles: bool
    """It is ground truth."""


def _read_tasks(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_EXPORT_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_EXPORT_BYTES:
        raise DatasetError(
            f"{path}: more than {MAX_EXPORT_BYTES:,} bytes", remedy="export fewer tasks at a time"
        )
    if sum(content.count(each) for each in (b",", b"[", b"{")) > MAX_JSON_VALUES:
        raise DatasetError(
            f"{path}: more than {MAX_JSON_VALUES:,} values in it", remedy="export fewer tasks at a time"
        )
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path}: not JSON: {first_line(error)}", remedy="choose the format JSON in Label Studio's export"
        ) from None
    if not isinstance(tasks, list):
        raise DatasetError(
            f"{path}: {_kind(tasks)}, not a list of tasks",
            remedy="choose the format JSON in Label Studio's export",
        )
    if any(
        isinstance(task, dict) and "annotation_id" in task and "annotations" not in task for task in tasks
    ):
        raise UsageError(
            f"{path}: this is JSON-MIN, which does not tell annotators' dissent from skipped tasks",
            remedy="choose the format JSON in Label Studio's export",
        )
    return tasks


def _task(document: Any, number: int) -> _Task:
    """Read one task; nothing in it is taken for granted."""
    where = f"task {number}"
    if not isinstance(document, dict):
        return _Task(where, why=f"{_kind(document)}, not a task")
    data = document.get("data")
    name = data.get("correction") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(name, str):
        return _Task(where, why="its data name no correction; was it exported by kalamos?")
    kept, annotations = data.get("kept", 0), document.get("annotations", [])
    if kept is not None and not isinstance(kept, str):
        return _Task(name, why="its data have no label that was kept")
    if not isinstance(annotations, list):
        return _Task(name, why=f"its annotations are {_kind(annotations)}, not a list")
    try:
        answers = [_answer(each) for each in annotations]
    except _UnusableError as error:
        return _Task(name, why=error.problem)
    return _Task(name, kept, tuple(each for each in answers if each is not None))


class _UnusableError(KalamosError):
    """Something in a task that cannot be used."""


def _answer(annotation: Any) -> _Answer | None:
    """What one annotation says; None where it was skipped, or says nothing."""
    if not isinstance(annotation, dict):
        raise _UnusableError(f"an annotation is {_kind(annotation)}")
    if annotation.get("was_cancelled"):
        return None
    results = annotation.get("result") or []
    if not isinstance(results, list):
        raise _UnusableError(f"an annotation's result is {_kind(results)}, not a list")
    chosen = _values(results, LABEL, "choices")
    typed = [text for text in _values(results, OTHER, "text") if text.strip()]
    for given in (typed, chosen):
        if len(given) > 1:
            raise _UnusableError(f"one annotation gives {len(given):,} labels: {_listed(given)}")
    if not typed and not chosen:
        return None
    settles = annotation.get("ground_truth") is True
    if not typed and chosen == [NOT_A_CHARACTER]:
        return _Answer(None, typed=False, settles=settles)
    try:
        # What was typed goes before a choice, which the pre-annotation made.
        label = check_label((typed or chosen)[0])
    except AlphabetError as error:
        raise _UnusableError(error.problem) from error
    return _Answer(label, typed=bool(typed), settles=settles)


def _values(results: Sequence[Any], name: str, key: str) -> list[str]:
    """The texts that a tag of the labelling configuration was given."""
    found: list[str] = []
    for result in results:
        if not isinstance(result, dict) or result.get("from_name") != name:
            continue
        value = result.get("value")
        texts = value.get(key) if isinstance(value, dict) else None
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise _UnusableError(f"an annotation's {key} are {_kind(texts)}, not a list of texts")
        found += texts
    return found


def _alike(known: set[str], answers: Iterable[_Answer]) -> Mapping[str, str]:
    """The typed labels that nobody could tell from another one by eye, each with why."""
    given = [answer for answer in answers if answer.label is not None]
    known = known | {answer.label for answer in given if answer.label is not None and not answer.typed}
    typed = {answer.label for answer in given if answer.label is not None} - known
    groups = alike_names(sorted(known | typed))
    return {label: describe_alike(group) for group in groups for label in group if label in typed}


def _review(
    name: str, tasks: Sequence[_Task], entry: Correction | None, *, majority: bool, alike: Mapping[str, str]
) -> Review:
    """Decide about one correction."""
    before = None if entry is None else entry.label
    wrong = next((task.why for task in tasks if task.why), "")
    answers = [answer for task in tasks for answer in task.answers]
    if wrong:
        return Review(name, "refused", before, before, wrong)
    if entry is None:
        return Review(name, "absent", why="the folder has no such image")
    if not answers:
        return Review(name, "unreviewed", before, before)
    label, agreed = _settled(answers, majority=majority)
    if not agreed:
        return Review(name, "disagreed", before, before, _dissent(answers))
    if label == before:
        return Review(name, "confirmed", before, before)
    if before not in {task.kept for task in tasks}:
        was = ", ".join(_shown(kept) for kept in {task.kept for task in tasks})
        why = f"it was {was} when it was exported, and is {_shown(before)} now; reviewers say {_shown(label)}"
        return Review(name, "outdated", before, before, why)
    if label is not None and label in alike:
        return Review(name, "refused", before, before, f"labels that look alike: {alike[label]}")
    return Review(name, "changed", before, label)


def _settled(answers: Sequence[_Answer], *, majority: bool) -> tuple[str | None, bool]:
    """The label that counts, and whether there is one."""
    deciding = [answer.label for answer in answers if answer.settles] or [answer.label for answer in answers]
    [(label, count)] = Counter(deciding).most_common(1)
    return label, count == len(deciding) or (majority and 2 * count > len(deciding))


def _dissent(answers: Sequence[_Answer]) -> str:
    counts = Counter(answer.label for answer in answers).most_common()
    told = [f"{_shown(label)} ({count:,})" for label, count in counts[:MAX_NAMED_LABELS]]
    more = f" and {len(counts) - MAX_NAMED_LABELS:,} more" if len(counts) > MAX_NAMED_LABELS else ""
    return f"annotators say {', '.join(told)}{more}"


def _listed(labels: Sequence[str]) -> str:
    more = "" if len(labels) <= MAX_NAMED_LABELS else ", ..."
    return ", ".join(label[:MAX_LABEL_CHARACTERS] for label in labels[:MAX_NAMED_LABELS]) + more


def _shown(label: str | None) -> str:
    return "not a character" if label is None else label


def _kind(value: Any) -> str:
    """What a JSON value is, for a message."""
    if value is None:
        return "null"
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names[type(value)]
