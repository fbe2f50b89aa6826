"""Compare the browser's reader, under Node, with Python's on the same grey arrays.

python -m tests.web.parity --cases 2000
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tests.web.cases import Case, draw_cases

from kalamos import load
from kalamos.errors import NoInkError
from kalamos.preprocessing.cut_out import ink_of_cut_out
from kalamos.preprocessing.ink import INK_FILE, InkMap, find_ink
from kalamos.preprocessing.plain_ground import ink_on_plain_ground, trim_padding
from kalamos.preprocessing.steps import limit_size
from kalamos.web import ASSETS
from kalamos.zoo import model_path

MODELS: Final = ("digits", "latin", "arabic")

SMALL_MARGIN_SHARE: Final = 4
"""One case in so many drawn is kept for its small margin, besides those kept as they come."""


COUNTS: Final = ("maps", "read")
"""How many ink maps and how many predictions were compared."""

DISTANCES: Final = ("ink levels", "prepared levels", "confidence", "known", *COUNTS)

NODE: Final = ("node", "--liftoff-only")
"""With WebAssembly's first compiler alone: the second one takes longer than a few hundred readings."""

CASES_A_RUN: Final = 200
"""At a time, for memory's sake."""


class Difference(NamedTuple):
    case: int
    kind: str
    what: str


def encode(image: NDArray[np.uint8]) -> dict[str, Any]:
    height, width = image.shape
    return {"width": width, "height": height, "data": base64.b64encode(image.tobytes()).decode()}


def decode(image: dict[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(image["data"]), np.uint8).reshape(image["height"], image["width"])


def read_in_node(images: Sequence[NDArray[np.uint8]], models: Sequence[str] = MODELS) -> list[Any]:
    """What the shipped script answers, for each image: the ink map, and each model's prediction."""
    with TemporaryDirectory() as folder:
        asked = {
            "script": str(ASSETS / "page.js"),
            "runtime": str(ASSETS / "runtime.wasm.gz"),
            "ink": str(INK_FILE),
            "models": [str(model_path(model)) for model in models],
            "images": [encode(image) for image in images],
        }
        path = Path(folder) / "cases.json"
        path.write_text(json.dumps(asked))
        script = Path(__file__).with_name("read_cases.mjs")
        done = subprocess.run([*NODE, script, path], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        answers: list[Any] = json.loads(done.stdout)
    return answers


def ink_map(image: NDArray[np.uint8]) -> InkMap | None:
    """The ink finder's map; None where rules are enough."""
    image = limit_size(image)
    if ink_on_plain_ground(image, 24) is not None:
        return None
    image = trim_padding(image)
    return None if ink_of_cut_out(image) is not None else find_ink([image])[0]


def compare(cases: Sequence[Case]) -> tuple[list[Difference], dict[str, float]]:
    """Differences, and the greatest distances seen: grey levels of ink maps, probabilities."""
    readers = [load(name) for name in MODELS]
    found: list[Difference] = []
    worst = dict.fromkeys(DISTANCES, 0.0)
    answers = read_in_node([each.image for each in cases])
    for row, (case, answer) in enumerate(zip(cases, answers, strict=True)):

        def differs(what: str, row: int = row, kind: str = case.kind) -> None:
            found.append(Difference(row, kind, what))

        expected, given = ink_map(case.image), answer["map"]
        if (expected is None) != (given is None):
            differs("one of the two asks the ink finder")
        elif expected is not None:
            worst["maps"] += 1
            levels = decode(given["levels"])
            if levels.shape != expected.levels.shape or tuple(given["view"]) != tuple(expected.view):
                differs(f"ink map: view {given['view']} for {tuple(expected.view)}")
            else:
                apart = int(np.abs(levels.astype(int) - expected.levels).max())
                worst["ink levels"] = max(worst["ink levels"], apart)
                if apart > 1:
                    differs(f"ink map: {apart} levels apart")
        for reader, told in zip(readers, answer["predictions"], strict=True):
            name = reader.spec.name
            wanted = reader.predict(case.image)
            if isinstance(wanted.error, NoInkError) or told is None:
                if wanted.error is None or told is not None:
                    differs(f"{name}: one of the two finds no ink")
                continue
            worst["read"] += 1
            assert wanted.prepared is not None
            assert wanted.confidence is not None
            seen = decode(told["prepared"])
            worst["prepared levels"] = max(
                worst["prepared levels"], int(np.abs(seen.astype(int) - wanted.prepared).max())
            )
            worst["confidence"] = max(
                worst["confidence"], abs(told["top"][0]["confidence"] - wanted.confidence)
            )
            if wanted.known is not None:
                worst["known"] = max(worst["known"], abs(told["known"] - wanted.known))
            if told["label"] != wanted.label or told["top"][0]["label"] != wanted.top[0].label:
                margin = wanted.top[0].confidence - wanted.top[1].confidence
                differs(f"{name}: {told['label']} for {wanted.label}, {wanted.reason}, margin {margin:.4f}")
    return found, worst


def hard_cases(count: int, seed: int) -> list[Case]:
    """Pictures of all kinds, one half of them those of the smallest margin among many."""
    plain = count // 2
    drawn = list(draw_cases(plain + SMALL_MARGIN_SHARE * (count - plain), seed))
    readers = [load(name) for name in MODELS]

    def margin(case: Case) -> float:
        tops = [reader.predict(case.image).top for reader in readers]
        return min((top[0].confidence - top[1].confidence for top in tops if top), default=1.0)

    return drawn[:plain] + sorted(drawn[plain:], key=margin)[: count - plain]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cases = hard_cases(options.cases, options.seed)
    count, worst = 0, dict.fromkeys(DISTANCES, 0.0)
    for start in range(0, len(cases), CASES_A_RUN):
        found, seen = compare(cases[start : start + CASES_A_RUN])
        count += len(found)
        for difference in found:
            print(start + difference.case, difference.kind, difference.what, sep="\t", flush=True)
        for name, value in seen.items():
            worst[name] = worst[name] + value if name in COUNTS else max(worst[name], value)
    print(f"{len(cases)} cases, {count} differences;", worst)
    return bool(count)


if __name__ == "__main__":
    sys.exit(main())
