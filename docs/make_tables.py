"""Write the README's table of models from the model files, and docs/look-alikes.md from the code.

Usage: python docs/make_tables.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from markers import replace_part

from kalamos.alphabets import Alphabet
from kalamos.datasets.named import describe
from kalamos.evaluation.ood.lookalikes import foreign_labels, lookalike_labels, lookalikes_of
from kalamos.evaluation.ood.sets import DEFAULT_SCRIPTS
from kalamos.model_file import read_spec
from kalamos.zoo import model_path, names

ROOT = Path(__file__).parent.parent


def models_table() -> str:
    lines = ["| model | reads | parameters | size | measured on | accuracy [95 % interval] | ECE | date |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in names():
        spec = read_spec(model_path(name))
        size = model_path(name).stat().st_size
        for m in spec.metrics:
            low, high = m.interval
            lines.append(
                f"| [`{name}`](src/kalamos/zoo/{name}.md) | {len(spec.alphabet)} {spec.alphabet.name} "
                f"| {spec.parameters:,} | {size / 1000:,.0f} kB | {m.dataset} {m.split}, n = {m.n:,} "
                f"| {m.accuracy:.2%} [{low:.2%}, {high:.2%}] | {m.ece:.2%} | {m.date} |"
            )
    return "\n".join(lines)


def alphabets() -> dict[str, Alphabet]:
    """The alphabets of the shipped models, by name."""
    found = (read_spec(model_path(name)).alphabet for name in names())
    return {alphabet.name: alphabet for alphabet in found}


def lookalikes_table() -> str:
    lines = [
        "| alphabet | label | look-alikes that are no label | look-alikes among the labels |",
        "|---|---|---|---|",
    ]
    for name, alphabet in sorted(alphabets().items()):
        others = lookalikes_of(alphabet)
        for label in alphabet.labels:
            within = [each for group in alphabet.confusable_groups if label in group for each in group]
            within = [each for each in within if each != label]
            if label in others or within:
                shown = _separate(others.get(label, ""))
                lines.append(f"| {name} | {_cell(label)} | {shown} | {_separate(within)} |")
    return "\n".join(lines)


def scripts_table() -> str:
    lines = ["| alphabet | set | outliers | look-alikes |", "|---|---|---|---|"]
    for name, alphabet in sorted(alphabets().items()):
        for dataset in DEFAULT_SCRIPTS:
            other = describe(dataset).alphabet
            foreign, alike = foreign_labels(other, alphabet), lookalike_labels(other, alphabet)
            if foreign:
                lines.append(f"| {name} | script:{dataset} | {_separate(foreign)} | {_separate(alike)} |")
    return "\n".join(lines)


def _separate(labels: str | list[str] | tuple[str, ...]) -> str:
    return " ".join(map(_cell, labels))


def _cell(label: str) -> str:
    # As code: no Markdown, and a browser keeps letters that are written to the left in their places.
    return "`\\|`" if label == "|" else f"`{label}`"


PARTS = {
    "README.md": {"models": models_table},
    "docs/look-alikes.md": {"look-alikes": lookalikes_table, "scripts": scripts_table},
}


def main() -> None:
    behind = []
    for page, parts in PARTS.items():
        path = ROOT / page
        text = current = path.read_text(encoding="utf-8")
        for name, table in parts.items():
            current = replace_part(current, name, table())
        if current != text:
            behind.append(page)
            if "--check" not in sys.argv:
                path.write_text(current, encoding="utf-8")
    if "--check" in sys.argv and behind:
        sys.exit(f"behind: {', '.join(behind)}; run docs/make_tables.py")


if __name__ == "__main__":
    main()
