"""How well the browser page reads an alphabet of one's own: python benchmarks/web_alphabet.py [--write]

As `make alphabets` measures `kalamos teach`, on the same samples by the same people: class means alone, as
many variations as the page draws, and its threshold. `--write` puts the table into docs/browser.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from alphabets import COUNTS, PAGE, TEACHING, drawers_of, read_alphabets
from markers import replace_part
from numpy.typing import NDArray

from kalamos.evaluation.calibration import fit_known
from kalamos.finetune import own_alphabet, prototypes
from kalamos.finetune.steps import embed_examples
from kalamos.model_file import Embedding, open_model
from kalamos.preprocessing import Preprocessor
from kalamos.zoo import model_path

BROWSER_PAGE: Final = PAGE.with_name("browser.md")
VARIATIONS: Final = 4
"""As `VARIATIONS` in web/src/teach.ts."""

Embedded = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


def embed_all() -> dict[str, Embedded]:
    """Embeddings [N, 1 + K, D] of each alphabet's letters, their codes and who drew them."""
    content = model_path("glyphs").read_bytes()
    spec = open_model(content).spec
    embedding = Embedding(content, spec, "glyphs")
    preprocessor = Preprocessor(spec.preprocessing)
    found = {}
    for name, letters in read_alphabets().items():
        images = list(preprocessor.images(letters.images))  # type: ignore[arg-type]
        generator = np.random.default_rng(0)
        embedded = embed_examples(embedding, preprocessor, images, VARIATIONS, generator, lambda _: None)
        _, codes = np.unique(letters.labels, return_inverse=True)
        found[name] = (embedded, codes.astype(np.int64), np.array(letters.drawers))
    return found


def measure(name: str, count: int, alphabets: dict[str, Embedded]) -> tuple[float, float, float]:
    """Shares: read right, withheld of the alphabet's own, answered of the other alphabets' letters."""
    embedded, codes, drawers = alphabets[name]
    asked = drawers > TEACHING
    foreign = np.concatenate(
        [those[0][those[2] > TEACHING, 0] for key, those in alphabets.items() if key != name]
    )
    counts, _, lowest = zip(*own_alphabet.CALIBRATED, strict=True)
    shares = []
    for some in drawers_of(count):
        chosen = np.isin(drawers, some)
        head = prototypes.fit_alphabet(embedded[chosen], codes[chosen], int(codes.max()) + 1)
        mine = head.logits(embedded[chosen, 1:].reshape(-1, embedded.shape[2])).max(axis=1)
        mine += np.interp(count, counts, lowest) - np.quantile(mine, own_alphabet.MAX_OWN_WITHHELD)
        others = prototypes.unlike(head, prototypes.other_characters()[::5])
        known = fit_known(mine, head.logits(others).max(axis=1), own_alphabet.MAX_OWN_WITHHELD)
        logits = head.logits(embedded[asked, 0])
        right = logits.argmax(axis=1) == codes[asked]
        answered = [
            known.probabilities(each.max(axis=1)) >= known.threshold
            for each in (logits, head.logits(foreign))
        ]
        shares.append((right.mean(), 1 - answered[0].mean(), answered[1].mean()))
    first, second, third = np.mean(shares, axis=0).tolist()
    return first, second, third


def table(alphabets: dict[str, Embedded]) -> Iterator[str]:
    yield "| alphabet | samples | read right | withheld of its own | other letters answered |"
    yield "|---|---|---|---|---|"
    for name, (_, _, drawers) in alphabets.items():
        for count in COUNTS:
            right, withheld, foreign = measure(name, count, alphabets)
            n = int((drawers > TEACHING).sum())
            yield f"| {name}, n = {n} | {count} | {right:.1%} | {withheld:.1%} | {foreign:.1%} |"
    yield ""
    yield (
        "Letters of ten people, none of whom taught; means over draws of those who did. "
        f"`python benchmarks/web_alphabet.py`, {datetime.now(UTC).date().isoformat()}."
    )


def main() -> None:
    prototypes.MAX_REGRESSION = 0  # type: ignore[misc]  # the page has class means alone
    text = "\n".join(table(embed_all()))
    print(text)
    if "--write" in sys.argv[1:]:
        page: Path = BROWSER_PAGE
        page.write_text(replace_part(page.read_text("utf-8"), "means", text), "utf-8")


if __name__ == "__main__":
    main()
