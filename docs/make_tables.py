"""Write the README's table of models from what the model files say of themselves.

Usage: python docs/make_tables.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from markers import replace_part

from kalamos.model_file import read_spec
from kalamos.zoo import model_path, names

README = Path(__file__).parent.parent / "README.md"


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


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    current = replace_part(text, "models", models_table())
    if "--check" in sys.argv:
        sys.exit("README.md is behind: run docs/make_tables.py" if current != text else 0)
    README.write_text(current, encoding="utf-8")
