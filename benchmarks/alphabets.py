"""`make alphabets`: how well an alphabet of one's own is read from a few samples, or from none.

Usage: python benchmarks/alphabets.py [--write] [--quick] [--only greek …] [--train|--calibrate|--precision]
The three development alphabets (drawers 1 to 10 teach, 11 to 20 are read) from 1, 3, 5 and 10 samples a
class, by `kalamos teach glyphs` and by what one would do without it: HOG and a linear SVM, the nearest
neighbour on pixels, and training from nothing. From no sample at all: the shapes of fonts. Up to a hundred
samples a class: letters of Hijja, whose hands taught `glyphs` too. What is not of the alphabet: the letters
of the other two alphabets and drawn scribbles. `--write` keeps the figures in docs/alphabets.json and writes
the table and the plot of docs/own-alphabet.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.numpy_helper
from numpy.typing import NDArray

import kalamos
from kalamos.alphabets import DIGITS
from kalamos.datasets import Split, load_dataset
from kalamos.datasets.named import data_dir
from kalamos.evaluation.calibration import fit_temperature
from kalamos.evaluation.metrics import wilson_interval
from kalamos.evaluation.ood import exposure
from kalamos.finetune import Examples, fine_tune
from kalamos.finetune.from_fonts import draw_examples, find_fonts
from kalamos.finetune.own_alphabet import MAX_OWN_WITHHELD
from kalamos.images import load_grey
from kalamos.learn.data import DRAWN_SETS
from kalamos.learn.glyphs.pool import STEPS
from kalamos.preprocessing import Preprocessor
from kalamos.zoo import model_path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

PAGE, KEPT = ROOT / "docs" / "own-alphabet.md", ROOT / "docs" / "alphabets.json"
PLOT = ROOT / "docs" / "images" / "own-alphabet.png"
COUNTS, DRAWS = (1, 3, 5, 10), {1: 10, 3: 10, 5: 4, 10: 1}
TEACHING, SIDE, SCRIBBLES = 10, 28, 200
MANY, MANY_COUNTS, MANY_ASKED = "hijja-28", (10, 30, 100), 50
"""A dataset with many hands, how many samples a class of it teach, and how many others a class are read."""

TRAINED: dict[str, dict[str, Any]] = {
    "kalamos train": {},
    "kalamos train --weights none": {"weights": "none"},
}
"""What `kalamos train` is told besides the folder."""

IN_FONTS = {
    "greek": "αβγδεζηθικλμνξοπρστυφχψω",
    "tagalog": "ᜀᜁᜂᜊᜃᜇᜄᜑᜎᜋᜈᜅᜉᜐᜆᜏᜌ",
}
"""The characters of an alphabet's classes, in their order."""

Method = Callable[[list[NDArray[np.uint8]], list[str], list[NDArray[np.uint8]]], Sequence[str | None]]


@dataclass(frozen=True)
class Letters:
    images: list[NDArray[np.uint8]]
    labels: list[str]
    drawers: list[int]

    def where(self, chosen: Callable[[int], bool]) -> Letters:
        rows = [row for row, drawer in enumerate(self.drawers) if chosen(drawer)]
        return Letters(*([part[row] for row in rows] for part in (self.images, self.labels, self.drawers)))


def read_alphabets() -> dict[str, Letters]:
    found: dict[str, Letters] = {}
    with zipfile.ZipFile(data_dir(None) / "alphabets-dev.zip") as archive:
        table = io.TextIOWrapper(archive.open("omniglot/manifest.csv"), "utf-8")
        for row in csv.DictReader(table):
            letters = found.setdefault(row["alphabet"], Letters([], [], []))
            letters.images.append(load_grey(archive.read(f"omniglot/{row['path']}")))
            letters.labels.append(row["label"])
            letters.drawers.append(int(row["group"].removeprefix("drawer")))
    return found


def examples_of(letters: Letters) -> Examples:
    groups = tuple(map(str, letters.drawers))
    return replace(
        Examples.of(letters.images, letters.labels), groups=groups, grouped_by="the manifest's groups"
    )


def by_glyphs(
    images: list[NDArray[np.uint8]], labels: list[str], asked: list[NDArray[np.uint8]]
) -> Sequence[str | None]:
    reader = fine_tune("glyphs", Examples.of(images, labels)).recognizer()
    return [each.label for each in reader.predict(asked, min_known=0)]


def _prepared(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    squares = Preprocessor(STEPS).images(images)
    return np.stack(
        [cv2.resize(np.asarray(each), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for each in squares]
    )


def by_neighbour(
    images: list[NDArray[np.uint8]], labels: list[str], asked: list[NDArray[np.uint8]]
) -> Sequence[str | None]:
    from sklearn.neighbors import KNeighborsClassifier

    blurred = [
        np.stack([cv2.GaussianBlur(each, (0, 0), 1.0) for each in _prepared(some)]).reshape(len(some), -1)
        for some in (images, asked)
    ]
    return KNeighborsClassifier(1, metric="cosine").fit(blurred[0], labels).predict(blurred[1]).tolist()  # type: ignore[no-any-return]


def by_hog(
    images: list[NDArray[np.uint8]], labels: list[str], asked: list[NDArray[np.uint8]]
) -> Sequence[str | None]:
    from sklearn.svm import LinearSVC

    features = [np.stack([_hog(each) for each in _prepared(some)]) for some in (images, asked)]
    return LinearSVC(C=1.0).fit(features[0], labels).predict(features[1]).tolist()  # type: ignore[no-any-return]


def _hog(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Describe by histograms of oriented gradients (Dalal and Triggs 2005): 4 x 4 cells, 8 directions."""
    x, y = (cv2.Sobel(image, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    strength, angle = cv2.cartToPolar(x, y)
    bins = np.rint(angle * 8 / (2 * np.pi)).astype(int) % 8
    cells = np.stack(
        [cv2.resize(strength * (bins == b), (4, 4), interpolation=cv2.INTER_AREA) for b in range(8)], 2
    )
    blocks = [cells[r : r + 2, c : c + 2].ravel() for r in range(3) for c in range(3)]
    return np.concatenate([block / (np.linalg.norm(block) + 1e-3) for block in blocks])


METHODS: dict[str, Method] = {
    "kalamos teach glyphs": by_glyphs,
    "HOG and a linear SVM": by_hog,
    "nearest neighbour on pixels": by_neighbour,
}


def drawers_of(count: int) -> Iterator[list[int]]:
    """Who teaches: each draw other drawers, as far as there are any."""
    for draw in range(DRAWS[count]):
        yield [(draw + step) % TEACHING + 1 for step in range(count)]


def samples_rows(name: str, letters: Letters, *, quick: bool) -> Iterator[dict[str, Any]]:
    asked = letters.where(lambda drawer: drawer > TEACHING)
    for method, read in METHODS.items():
        for count in COUNTS:
            shares = []
            for drawers in list(drawers_of(count))[: 2 if quick else None]:
                taught = letters.where(set(drawers).__contains__)
                answers = read(taught.images, taught.labels, asked.images)
                right = [answer == label for answer, label in zip(answers, asked.labels, strict=True)]
                shares.append(float(np.mean(right)))
            spread = float(np.std(shares, ddof=1)) if len(shares) > 1 else None
            yield {
                "alphabet": name,
                "method": method,
                "samples": count,
                "accuracy": float(np.mean(shares)),
                "spread": spread,
                "draws": len(shares),
                "n": len(asked.labels),
            }


def fonts_row(name: str, letters: Letters) -> dict[str, Any] | None:
    if name not in IN_FONTS:
        return None
    classes = sorted(set(letters.labels))
    label_of = dict(zip(IN_FONTS[name], classes, strict=False))
    asked = letters.where(lambda drawer: drawer > TEACHING)
    reader = fine_tune("glyphs", draw_examples(IN_FONTS[name], find_fonts())).recognizer()
    answers = [label_of.get(each.label or "") for each in reader.predict(asked.images, min_known=0)]
    right = sum(answer == label for answer, label in zip(answers, asked.labels, strict=True))
    return {
        "alphabet": name,
        "method": "fonts alone",
        "samples": 0,
        "accuracy": right / len(answers),
        "spread": None,
        "draws": 1,
        "n": len(answers),
    }


def known_row(name: str, alphabets: dict[str, Letters]) -> dict[str, Any]:
    """What is withheld of the alphabet, and answered of what is none of it, by the file's own threshold."""
    letters = alphabets[name]
    started = time.perf_counter()
    tuned = fine_tune("glyphs", examples_of(letters.where(lambda drawer: drawer <= TEACHING)))
    seconds = time.perf_counter() - started
    reader = tuned.recognizer()
    mine = letters.where(lambda drawer: drawer > TEACHING).images
    foreign = [
        image
        for other, those in alphabets.items()
        if other != name
        for image in those.where(lambda drawer: drawer > TEACHING).images
    ]
    scribbles = list(exposure(DIGITS, Preprocessor(STEPS), SCRIBBLES, 5, sets=DRAWN_SETS))

    def answered(images: list[NDArray[np.uint8]]) -> float:
        return float(np.mean([each.label is not None for each in reader.predict(images)]))

    assert tuned.expected is not None  # noqa: S101  (an alphabet of its own has it)
    return {
        "alphabet": name,
        "expected": tuned.expected.accuracy,
        "hands": tuned.expected.hands,
        "withheld": 1 - answered(mine),
        "n": len(mine),
        "foreign": answered(foreign),
        "foreign_n": len(foreign),
        "scribbles": answered(scribbles),
        "scribbles_n": len(scribbles),
        "seconds": seconds,
    }


def trained_rows(name: str, letters: Letters) -> Iterator[dict[str, Any]]:
    for method, told in TRAINED.items():
        right, _ = trained(letters, **told)
        yield {
            "alphabet": name,
            "method": method,
            "samples": TEACHING,
            "accuracy": right,
            "spread": None,
            "draws": 1,
            "n": len(letters.where(lambda drawer: drawer > TEACHING).labels),
        }


def many_rows() -> Iterator[dict[str, Any]]:
    """What each method reads of a dataset with many hands; none both teaches and is read."""
    dataset = load_dataset(MANY)
    assert dataset.test is not None  # noqa: S101  (it has one)
    names = dataset.alphabet.labels
    asked_images, asked_labels = _some_of(dataset.test, MANY_ASKED, names)
    for count in MANY_COUNTS:
        images, labels = _some_of(dataset.train, count, names)
        for method, read in METHODS.items():
            answers = read(images, labels, asked_images)
            right = sum(answer == label for answer, label in zip(answers, asked_labels, strict=True))
            yield {
                "method": method,
                "samples": count,
                "accuracy": right / len(asked_labels),
                "spread": None,
                "n": len(asked_labels),
            }


def _some_of(split: Split, count: int, names: Sequence[str]) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """So many images of each class, evenly spaced over the split, and so over its hands; none without ink."""
    rows = np.concatenate(
        [
            members[np.linspace(0, len(members) - 1, count).astype(int)]
            for code in range(len(names))
            for members in [np.flatnonzero(split.labels == code)]
        ]
    )
    inked, _ = Preprocessor(STEPS).images_with_ink([split.images[row] for row in rows.tolist()])
    kept = rows[inked]
    return [split.images[row] for row in kept.tolist()], [names[split.labels[row]] for row in kept.tolist()]


def trained(letters: Letters, **told: str) -> tuple[float, float]:
    """Train on ten drawers with little else said: the share read right of the others', and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        taught = letters.where(lambda drawer: drawer <= TEACHING)
        for image, label, drawer in zip(taught.images, taught.labels, taught.drawers, strict=True):
            path = Path(folder) / "letters" / label / f"{drawer:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        started = time.perf_counter()
        run = kalamos.train(Path(folder) / "letters", **told)
        seconds = time.perf_counter() - started
        reader = run.export(Path(folder) / "trained.onnx")
    asked = letters.where(lambda drawer: drawer > TEACHING)
    answers = [each.label for each in reader.predict(asked.images, min_known=0)]
    return float(np.mean([a == b for a, b in zip(answers, asked.labels, strict=True)])), seconds


def calibration(alphabets: dict[str, Letters]) -> Iterator[tuple[int, float, float]]:
    """(samples, temperature, `known` output that 1 % is below) on unseen hands: means over the alphabets."""
    preprocessor = Preprocessor(STEPS)
    for count in (0, *COUNTS):
        found = []
        for name, letters in alphabets.items():
            asked = letters.where(lambda drawer: drawer > TEACHING)
            batch = preprocessor.batch(preprocessor.images(asked.images))  # type: ignore[arg-type]
            for examples in list(_taught(name, letters, count))[:4]:
                reader = fine_tune("glyphs", examples).recognizer()
                logits, known = reader.model.graph.run(["logits", "known"], batch)
                truth = np.array([reader.labels.index(label) for label in asked.labels])
                found.append((np.log(fit_temperature(logits, truth)), np.quantile(known, MAX_OWN_WITHHELD)))
        log_temperature, lowest = np.mean(found, axis=0).tolist()
        yield count, float(np.exp(log_temperature)), lowest


def _taught(name: str, letters: Letters, count: int) -> Iterator[Examples]:
    """Examples by so many drawers, again and again; with 0 those of fonts, under the set's own labels."""
    if count:
        for drawers in drawers_of(count):
            chosen = letters.where(set(drawers).__contains__)
            yield Examples.of(chosen.images, chosen.labels)
    elif name in IN_FONTS:
        drawn = draw_examples(IN_FONTS[name], find_fonts())
        label_of = dict(zip(IN_FONTS[name], sorted(set(letters.labels)), strict=True))
        yield replace(drawn, labels=tuple(label_of[label] for label in drawn.labels))


def precisions(alphabets: dict[str, Letters]) -> Iterator[str]:
    """How the base model reads with its weights as shipped, in halves, and rounded to int8.

    Rounded to int8, each output of a layer has a scale of its own; activations stay float, so that whole int8
    arithmetic does no better than what is told here. In float32 the weights are those halves.
    """
    shipped = model_path("glyphs").read_bytes()
    weights = _weights(shipped)
    files = {
        "float16, as shipped": shipped,
        "int8": _with_weights(shipped, {k: _as_int8(v) for k, v in weights.items()}),
    }
    sizes = {"float16, as shipped": 2, "int8": 1}
    count = sum(each.size for each in weights.values())
    for what, content in files.items():
        shares = []
        for name, letters in alphabets.items():
            asked = letters.where(lambda drawer: drawer > TEACHING)
            right = []
            for samples in (1, 5, 10):
                for drawers in list(drawers_of(samples))[:4]:
                    taught = letters.where(set(drawers).__contains__)
                    reader = fine_tune(content, Examples.of(taught.images, taught.labels)).recognizer()
                    answers = reader.predict(asked.images, min_known=0)
                    right.append(np.mean([a.label == b for a, b in zip(answers, asked.labels, strict=True)]))
            shares.append(f"{name} {np.mean(right):.2%} (n = {len(right)} x {len(asked.labels)})")
        yield f"{what}, {sizes[what] * count / 1e6:.2f} MB of weights: {', '.join(shares)}"


def _weights(content: bytes) -> dict[str, NDArray[np.float16]]:
    model = onnx.load_from_string(content)
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {name: array for name, array in arrays.items() if array.dtype == np.float16 and array.ndim > 1}


def _as_int8(weights: NDArray[np.float16]) -> NDArray[np.float16]:
    """Round to 255 steps, of a size for each output."""
    wide = weights.astype(np.float64).reshape(len(weights), -1)
    step = np.maximum(np.abs(wide).max(axis=1, keepdims=True) / 127, 1e-12)
    return (np.rint(wide / step) * step).reshape(weights.shape).astype(np.float16)


def _with_weights(content: bytes, weights: dict[str, NDArray[np.float16]]) -> bytes:
    model = onnx.load_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name], tensor.name))
    return bytes(model.SerializeToString(deterministic=True))


def table(kept: dict[str, Any]) -> str:
    names = list(dict.fromkeys(row["alphabet"] for row in kept["samples"]))
    lines = [f"| | samples | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    rows = {(row["method"], row["samples"], row["alphabet"]): row for row in kept["samples"]}
    methods = list(dict.fromkeys(method for method, *_ in rows))
    for method, samples in sorted({key[:2] for key in rows}, key=lambda key: (methods.index(key[0]), key[1])):
        cells = (rows.get((method, samples, name)) for name in names)
        shown = ("" if row is None else _cell(row) for row in cells)
        lines.append(f"| {method} | {samples} | {' | '.join(shown)} |")
    lines += [
        "",
        "| | expected, hands left out | withheld of its own | other letters answered | scribbles answered |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['alphabet']} | {row['expected']:.1%} ({row['hands']} hands) | {row['withheld']:.1%} "
        f"(n = {row['n']}) | {row['foreign']:.1%} (n = {row['foreign_n']}) | {row['scribbles']:.1%} "
        f"(n = {row['scribbles_n']}) |"
        for row in kept["known"]
    ]
    lines += [
        "",
        f"| {MANY} (its other hands taught `glyphs`, so this flatters it), n = {kept['many'][0]['n']:,} | "
        f"{' | '.join(f'{count} samples' for count in MANY_COUNTS)} |",
        f"|---|{'---|' * len(MANY_COUNTS)}",
    ]
    lines += [
        f"| {method} | {' | '.join(_cell(r) for r in kept['many'] if r['method'] == method)} |"
        for method in METHODS
    ]
    return "\n".join([*lines, "", f"Measured by `make alphabets`, {kept['date']}."])


def _cell(row: dict[str, Any]) -> str:
    if row["spread"] is not None:
        return f"{row['accuracy']:.1%} (sd {row['spread']:.1%})"
    low, high = wilson_interval(round(row["accuracy"] * row["n"]), row["n"])
    return f"{row['accuracy']:.1%} [{low:.1%}, {high:.1%}]"


def plot(kept: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["alphabet"] for row in kept["samples"]))
    figure, axes = plt.subplots(1, len(names), figsize=(3.4 * len(names), 3.2), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        for method in METHODS:
            rows = [r for r in kept["samples"] if r["alphabet"] == name and r["method"] == method]
            axis.plot([r["samples"] for r in rows], [100 * r["accuracy"] for r in rows], "o-", label=method)
        fonts = [r for r in kept["samples"] if r["alphabet"] == name and r["samples"] == 0]
        for row in fonts:
            axis.axhline(100 * row["accuracy"], ls=":", c="C0", label="no sample: fonts alone")
        axis.set(
            title=f"{name}, {fonts[0]['n'] if fonts else rows[0]['n']} letters read", xlabel="samples a class"
        )
        axis.set_xticks(COUNTS)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("right, %")
    axes[0][0].legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def measured(alphabets: dict[str, Letters], chosen: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Measure all that the page shows, and print each row."""
    kept: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "samples": [], "known": []}
    for name in chosen:
        letters = alphabets[name]
        fonts = fonts_row(name, letters)
        rows = samples_rows(name, letters, quick=quick)
        for row in (*([] if fonts is None else [fonts]), *rows, *trained_rows(name, letters)):
            print(f"{name}, {row['method']}, {row['samples']} samples: {_cell(row)}", flush=True)
            kept["samples"].append(row)
        kept["known"].append(known_row(name, alphabets))
        print(kept["known"][-1], flush=True)
    kept["many"] = list(many_rows())
    for row in kept["many"]:
        print(f"{MANY}, {row['method']}, {row['samples']} samples: {_cell(row)}", flush=True)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the figures, write the page and the plot")
    parser.add_argument("--quick", action="store_true", help="two draws each")
    parser.add_argument("--only", nargs="+", help="alphabets")
    parser.add_argument("--train", action="store_true", help="print what `kalamos train` reads")
    parser.add_argument("--calibrate", action="store_true", help="print what own_alphabet.CALIBRATED holds")
    parser.add_argument("--precision", action="store_true", help="print what the base model reads in int8")
    asked = parser.parse_args()
    alphabets = read_alphabets()
    if asked.precision:
        for line in precisions({name: alphabets[name] for name in asked.only or alphabets}):
            print(line, flush=True)
        return
    if asked.calibrate:
        for row in calibration(alphabets):
            print("({}, {:.2f}, {:.2f})".format(*row), flush=True)
        return
    if asked.train:
        for name in asked.only or alphabets:
            for kept_epoch in ("last", "best"):
                right, seconds = trained(alphabets[name], checkpoint=kept_epoch)
                print(f"{name}, {kept_epoch} epoch: {right:.1%} right, {seconds:.0f} s", flush=True)
        return
    kept = measured(alphabets, asked.only or list(alphabets), quick=asked.quick)
    if asked.write:
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "alphabets", table(kept)), "utf-8")
        plot(kept, PLOT)


if __name__ == "__main__":
    main()
