"""A model's card: rendered from what the model file says of itself, so it cannot drift from it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from kalamos.atomic import atomic_write
from kalamos.model_file import Metric, read_spec

__all__ = ["render_card", "write_card"]


def render_card(path: Path) -> str:
    """The card of a model file, in Markdown.

    Raises:
        ModelError: the file is not a kalamos model.
    """
    spec = read_spec(path)
    content = path.read_bytes()
    training = spec.training
    facts = {
        "Reads": f"{len(spec.alphabet)} classes ({spec.alphabet.name}): {' '.join(spec.alphabet.labels)}",
        "Network": f"`{spec.architecture}`, {spec.parameters:,} parameters",
        "File": f"{len(content):,} bytes, SHA-256 `{hashlib.sha256(content).hexdigest()}`",
        "Input": f"one grey channel, {spec.input_size}x{spec.input_size} px, after "
        + ", ".join(str(step["step"]) for step in spec.preprocessing),
        "Temperature": f"{spec.temperature:.3f}, fitted on the validation images",
        "Licence": spec.licence,
        "Made by": f"kalamos {spec.kalamos_version}, {spec.created}",
    }
    lines = [f"# {spec.name}", "", *(f"- **{key}**: {value}" for key, value in facts.items())]
    if spec.metrics:
        lines += ["", "## Accuracy", "", *_metrics_table(spec.metrics)]
    if training is not None:
        lines += [
            "",
            "## Training",
            "",
            f"{training.n:,} images of the official {training.split} split of `{training.dataset}` "
            f"(all of that split: SHA-256 `{training.sha256}`), seed {training.seed}, "
            f"{training.date}, torch {training.torch}.",
            "",
            "```json",
            json.dumps(training.recipe, indent=2, ensure_ascii=False),
            "```",
        ]
    return "\n".join(lines) + "\n"


def write_card(path: Path) -> Path:
    """Write the card beside its model, MODEL.md; returns where.

    Raises:
        OutputError: the card cannot be written.
    """
    card = path.with_suffix(".md")
    with atomic_write(card) as stream:
        stream.write(render_card(path).encode())
    return card


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
