"""The shipped models, and their model cards.

The models that kalamos ships, each one file beside its card.

A model's card: rendered from what the model file says of itself, so it cannot drift from it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from kalamos.alphabets import BASE_LABELS
from kalamos.errors import ModelNotFoundError, suggest
from kalamos.model_file import (
    KnownRecord,
    Metric,
    ModelSpec,
    Quantisation,
    RobustnessRecord,
    SelectiveAccuracy,
    TrainingRecord,
    check_model,
)
from kalamos.model_file.spec import (
    LEARNT_BEFORE,
    MIN_TEMPERATURE_IMAGES,
    few_known_text,
    licence_text,
    temperature_text,
)
from kalamos.utils.atomic_write import write_text
from kalamos.writers.base import lines_without_controls

__all__ = [
    "base_names",
    "calibration",
    "card_path",
    "find_model",
    "model_path",
    "names",
    "render_card",
    "teachable_names",
    "write_card",
]

FOLDER = Path(__file__).parent
BASE_FOLDER = FOLDER / "base"


def base_names() -> tuple[str, ...]:
    """List the shipped models that read no alphabet before one is taught to them.

    >>> base_names()
    ('glyphs',)
    """
    return tuple(sorted(path.stem for path in BASE_FOLDER.glob("*.onnx")))


def names() -> tuple[str, ...]:
    """The shipped models.

    >>> "digits" in names()
    True
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.onnx")))


def teachable_names() -> tuple[str, ...]:
    """List the shipped models that `kalamos teach` and `train --weights` take: base models too."""
    return (*names(), *base_names())


def model_path(name: str) -> Path:
    """Where a shipped model's file lies."""
    return (BASE_FOLDER if name in base_names() else FOLDER) / f"{name}.onnx"


def card_path(name: str) -> Path:
    """Where a shipped model's card lies: what it was trained on, how well it reads, its licence."""
    return model_path(name).with_suffix(".md")


def find_model(name_or_file: str | os.PathLike[str]) -> Path:
    """Find the file of a shipped model, or the given file; a shipped model's name goes first.

    Raises:
        ModelNotFoundError: neither.
    """
    name = os.fspath(name_or_file)
    if name in names() or name in base_names():
        return model_path(name)
    path = Path(name)
    if not os.path.lexists(path):  # `Path.exists` raises where a name is too long
        looks_like_a_file = path.suffix or path.name != name
        what = f"{name}: no such model file" if looks_like_a_file else f"no model is called {name!r}"
        remedy = suggest(path.stem, names(), otherwise="give a model file, or one of")
        raise ModelNotFoundError(what, remedy=remedy)
    return path


RENDERED: Final = "build/rendered/"
"""Where `make fonts` draws datasets."""

DRAWN_FROM: Final = {
    "box-latin-": "from the training images of `emnist-47` and `unipen`. Licence: theirs",
    "box-": "from the training images of `mnist` and `unipen-digits`. Licence: theirs",
    "cell-": "from the fonts of recipes/print-fonts.txt and training images of `mnist`. Licence: {fonts}",
    "print-": "from the fonts of recipes/print-fonts.txt. Licence: {fonts}",
    "arabic-": "from the fonts of recipes/arabic-fonts.txt. Licence: {fonts}",
    "": "from the fonts of recipes/handwriting-fonts.txt. Licence: {fonts}",
}
"""Beginning of a drawn dataset's name -> its source."""

NOTO_FONTS: Final = "noto-fonts"
"""What the base model learns from besides hands."""

FONT_LICENCES: Final = "SIL Open Font License 1.1 or Apache License 2.0, font by font"

TARGETS: Final = (0.95, 0.99, 0.995, 0.999)

_ROBUSTNESS: Final = {
    "shift": (
        "Under shift",
        "On images spoilt in ways that the training did not see; see `kalamos evaluate --shift`.",
        "accuracy",
    ),
    "outliers": (
        "Against what is no character of it",
        "How well the model tells clean test images from these, 50 % being chance: by the probability of "
        "being a character, or by its confidence where it has none.",
        "AUROC",
    ),
}


def render_card(path: Path) -> str:
    """The card of a model file, in Markdown.

    Raises:
        ModelError: the file is not a kalamos model.
    """
    spec = check_model(path)
    content = path.read_bytes()
    training = spec.training
    base = spec.alphabet.labels == BASE_LABELS
    reads = f"{len(spec.alphabet)} classes ({spec.alphabet.name}): {' '.join(spec.alphabet.labels)}"
    facts = {
        "Reads": "no alphabet by itself: `kalamos teach` gives it one" if base else reads,
        "Network": f"`{spec.architecture}`, {spec.parameters:,} parameters",
        "File": f"{len(content):,} bytes, SHA-256 `{hashlib.sha256(content).hexdigest()}`",
        "Input": f"one grey channel, {spec.input_size}x{spec.input_size} px, after "
        + ", ".join(str(step["step"]) for step in spec.preprocessing),
        **({} if base else {"Temperature": calibration(spec)}),
        **({} if spec.quantisation is None else {"Quantised": _quantised(spec.quantisation)}),
        "Licence": _licence(spec),
        "Made by": f"kalamos {spec.kalamos_version}, {spec.created}",
    }
    lines = [f"# {spec.name}", "", *(f"- **{key}**: {value}" for key, value in facts.items())]
    if spec.metrics:
        lines += ["", "## Accuracy", "", *_metrics_table(spec.metrics)]
    if spec.selective is not None:
        lines += ["", "## Answering only where it is sure", "", *_selective_table(spec.selective)]
    if spec.known is not None:
        lines += ["", "## What is a character at all", "", _known(spec.known)]
    for kind, (title, note, value) in _ROBUSTNESS.items():
        records = [record for record in spec.robustness if record.kind == kind]
        if records:
            lines += ["", f"## {title}", "", note, "", *_robustness_table(records, value)]
    if training is not None:
        lines += ["", "## Sources", "", *(f"- **{name}**: {told}" for name, told in _sources(training))]
        lines += [
            "",
            "## Training",
            "",
            _trained(training),
            "",
            "```json",
            json.dumps(training.recipe, indent=2, ensure_ascii=False),
            "```",
        ]
    # What a recipe or a step is called may be anything that JSON can say.
    return lines_without_controls("\n".join(lines)) + "\n"


def write_card(path: Path) -> Path:
    """Write the card beside its model, MODEL.md; returns where.

    Raises:
        OutputError: the card cannot be written.
    """
    card = path.with_suffix(".md")
    write_text(card, render_card(path))
    return card


def _trained(training: TrainingRecord) -> str:
    taught = training.recipe.get("taught")
    if isinstance(taught, dict):  # `kalamos teach` made it of another file
        hands = "No hand taught it: its shapes are those of fonts. " if taught.get("from_fonts") else ""
        return hands + (
            f"Taught with {training.n:,} examples of `{training.dataset}` (SHA-256 `{training.sha256}`), "
            f"{training.date}, from `{taught.get('model')}` (its file: SHA-256 `{taught.get('sha256')}`)."
        )
    if training.dataset == NOTO_FONTS:
        return (
            f"{training.n:,} drawings of fonts' characters and images of hands, seed {training.seed}, "
            f"{training.date}, torch {training.torch}."
        )
    also = training.recipe.get("also")
    besides = "".join(f" and of `{each}`" for each in also) if isinstance(also, list) else ""
    return (
        f"{training.n:,} images of the official {training.split} split of `{training.dataset}` "
        f"(all of that split: SHA-256 `{training.sha256}`){besides}, seed {training.seed}, "
        f"{training.date}, torch {training.torch}."
    )


def _sources(training: TrainingRecord) -> Iterator[tuple[str, str]]:
    """Yield what was learnt from, and under which licence."""
    recipe, taught = training.recipe, training.recipe.get("taught")
    teachers = recipe.get("teachers")
    datasets = [recipe.get("dataset", training.dataset)]
    for listed in (recipe.get("also"), recipe.get(LEARNT_BEFORE)):
        datasets += listed if isinstance(listed, list) else []
    yield from map(_source, dict.fromkeys(map(str, datasets)))
    if isinstance(outliers := recipe.get("outliers"), int) and outliers:
        named = recipe.get("outlier_sets")
        sets = [str(each) for each in named] if isinstance(named, list) else []
        yield _outliers(outliers, sets)
        yield from (_source(each.partition(":")[2]) for each in sets if each.startswith("script:"))
    models = [str(each) for each in teachers] if isinstance(teachers, list) else []
    if isinstance(taught, dict):
        models.append(str(taught.get("model")))
    if isinstance(weights := recipe.get("weights"), str) and weights:
        models.append(weights)
    for each in models:
        card = "; its card names its sources" if each in teachable_names() else ""
        yield each, f"a model that this one learnt from{card}"


def _source(name: str) -> tuple[str, str]:
    """Name a dataset's source and licence."""
    if name == NOTO_FONTS:
        return name, "Debian's fonts-noto-core and fonts-noto-cjk. Licence: SIL Open Font License 1.1"
    if name.startswith(RENDERED):
        drawn = name.removeprefix(RENDERED)
        source = next(source for start, source in DRAWN_FROM.items() if drawn.startswith(start))
        return name, f"drawn {source.format(fonts=FONT_LICENCES)}"
    # Late, as only a card needs the catalogue of datasets.
    named = import_module("kalamos.datasets.named")
    if name not in named.names():
        return name, "images of one's own. Licence: not stated"
    entry = named.describe(name)
    return name, f"{entry.source}. Licence: {entry.licence}"


def _outliers(count: int, sets: Sequence[str]) -> tuple[str, str]:
    drawn = [each for each in sets if not each.startswith("script:")]
    told = f"of the sets {', '.join(drawn)}, drawn by kalamos" if drawn else "of other scripts, below"
    if "photos" in sets:
        told += " (photos: from Matplotlib's sample photograph)"
    if not sets:
        told = (
            "drawn by kalamos, from Matplotlib's sample photograph, and characters of other scripts from the "
            "datasets of docs/look-alikes.md that were at hand: which, this file does not say"
        )
    return f"{count:,} images of no character", told


def _known(record: KnownRecord) -> str:
    few = few_known_text(record.n)
    return (
        f"Below a probability of {record.threshold:.3f} of being one of its characters nothing is answered: "
        f"{record.withheld:.2%} of {record.n:,} validation images and photographs of them are withheld, and "
        f"{record.answered:.2%} of {record.outliers_n:,} outliers that the training held out are answered."
        + (f" Mind that {few}." if few else "")
    )


def calibration(spec: ModelSpec) -> str:
    """A model's temperature, and what it comes from, for people."""
    taught = _taught(spec)
    if taught is not None:
        if not taught.get("only"):
            return (
                f"{spec.temperature:.3f}, that of `{taught.get('model')}`, which this model was taught from"
            )
        held = taught.get("held_out")
        if isinstance(held, int) and held >= MIN_TEMPERATURE_IMAGES:
            return f"{spec.temperature:.3f}, fitted on {held:,} examples by hands that were left out"
        return f"{spec.temperature:.3f}, that of other alphabets with as few samples"
    return temperature_text(spec.temperature, None if spec.selective is None else spec.selective.n)


def _licence(spec: ModelSpec) -> str:
    taught = _taught(spec)
    stated = licence_text(spec.licence)
    if taught is None or "licence" not in taught:
        return stated
    return f"{stated} (made from `{taught.get('model')}`: {licence_text(str(taught['licence']))})"


def _taught(spec: ModelSpec) -> dict[str, object] | None:
    """What `kalamos teach` noted of the model that it began from."""
    taught = None if spec.training is None else spec.training.recipe.get("taught")
    return taught if isinstance(taught, dict) else None


def _quantised(how: Quantisation) -> str:
    kept = f", {len(how.float_nodes)} layers in float" if how.float_nodes else ""
    return (
        f"int8 by {how.method}, ranges from {how.calibration_n:,} training images{kept}; "
        f"{how.accuracy:.2%} of {how.n:,} validation images right, in float {how.float_accuracy:.2%}; "
        f"the same answer to {how.agreement:.2%}"
    )


def _selective_table(measured: SelectiveAccuracy) -> list[str]:
    lines = [
        f"`--target-accuracy` on the {measured.n:,} validation images: estimates, for images like those.",
        "",
        "| target | confidence at least | answered | wrong of these |",
        "|---|---|---|---|",
    ]
    for target in TARGETS:
        if target > measured.points[-1].accuracy:
            lines.append(f"| {target:.1%} | not reached | | |")
            continue
        point = measured.at(target)
        answered = round(point.coverage * measured.n)
        wrong = answered - round(point.accuracy * answered)
        lines.append(
            f"| {target:.1%} | {point.threshold:.4f} | {point.coverage:.2%} | {wrong:,} of {answered:,} |"
        )
    return lines


def _robustness_table(records: list[RobustnessRecord], value: str) -> list[str]:
    lines = [f"| | n | {value} | date |", "|---|---|---|---|"]
    shown = "{:.4f}" if value == "AUROC" else "{:.2%}"
    lines += [
        f"| {_cell(record.name)} | {record.n:,} | {shown.format(record.value)} | {record.date} |"
        for record in records
    ]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _metrics_table(metrics: tuple[Metric, ...]) -> list[str]:
    lines = [
        "| dataset | n | accuracy | 95 % interval | ECE | date | images' and labels' SHA-256 |",
        "|---|---|---|---|---|---|---|",
    ]
    for m in metrics:
        low, high = m.interval
        lines.append(
            f"| {m.dataset} {m.split} | {m.n:,} | {m.accuracy:.2%} | {low:.2%} to {high:.2%} "
            f"| {m.ece:.2%} | {m.date} | `{m.sha256}` |"
        )
    return lines
