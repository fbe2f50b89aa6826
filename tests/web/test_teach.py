"""An alphabet that the browser page learns is the one that Python learns from the same samples."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.web.cases import written
from tests.web.parity import NODE, decode, encode

from kalamos.evaluation.calibration import fit_known
from kalamos.finetune import own_alphabet, prototypes
from kalamos.model_file import Embedding, open_model
from kalamos.postprocessing import softmax
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.ink import INK_FILE
from kalamos.sheets.letters import class_folder
from kalamos.web import ASSETS
from kalamos.zoo import model_path

VARIATIONS = 4

pytestmark = pytest.mark.usefixtures("node")

Grey = NDArray[np.uint8]


def letter(text: str, generator: np.random.Generator) -> Grey:
    """A letter, black on white, leaning and drawn with another pen each time."""
    page = np.zeros((160, 160), np.uint8)
    pen = int(generator.integers(4, 12))
    cv2.putText(page, text, (40, 120), cv2.FONT_HERSHEY_SIMPLEX, 3.4, 255, pen, cv2.LINE_AA)
    lean = np.float32([[1, generator.normal(0, 0.15), 0], [generator.normal(0, 0.1), 1, 0]])
    lean[:, 2] = 80 - lean[:, :2] @ np.float32([80, 80])
    return 255 - cv2.warpAffine(page, lean, (160, 160))  # type: ignore[no-any-return]


def in_node(script: str, asked: dict[str, Any], folder: Path) -> Any:
    path = folder / "cases.json"
    path.write_text(json.dumps(asked))
    done = subprocess.run(
        [*NODE, Path(__file__).with_name(script), path], capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(("letters", "samples"), [("AB", 1), ("AKRS4", 3), ("XZ", 7)])
def test_means_calibration_and_answers_are_those_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letters: str, samples: int
) -> None:
    generator = np.random.default_rng(len(letters))
    labels = [each for each in letters for _ in range(samples)]
    asked = [letter(each, generator) for each in letters for _ in range(2)]
    asked += [255 - written(generator) for _ in range(4)]
    answer = in_node(
        "teach_cases.mjs",
        {
            "script": str(ASSETS / "page.js"),
            "runtime": str(ASSETS / "runtime.wasm.gz"),
            "ink": str(INK_FILE),
            "base": str(model_path("glyphs")),
            "others": str(ASSETS / "others.bin"),
            "samples": [{"label": each, "image": encode(letter(each, generator))} for each in labels],
            "images": [encode(image) for image in asked],
        },
        tmp_path,
    )
    content = model_path("glyphs").read_bytes()
    spec = open_model(content).spec
    embedding = Embedding(content, spec, "glyphs")
    preprocessor = Preprocessor(spec.preprocessing)
    families = np.array([[decode(each) for each in family] for family in answer["families"]])
    assert families.shape[:2] == (len(labels), 1 + VARIATIONS)
    embedded = embedding(preprocessor.batch(list(families.reshape(-1, *families.shape[2:]))))
    embedded = embedded.reshape(len(labels), 1 + VARIATIONS, -1)
    codes = np.array([letters.index(each) for each in labels])
    monkeypatch.setattr(prototypes, "MAX_REGRESSION", 0)  # the page has class means alone
    head = prototypes.fit_alphabet(embedded, codes, len(letters))
    counts, *shipped = zip(*own_alphabet.CALIBRATED, strict=True)
    temperature, lowest = (float(np.interp(samples, counts, column)) for column in shipped)
    mine = head.logits(embedded[:, 1:].reshape(-1, embedded.shape[2])).max(axis=1)
    mine += lowest - np.quantile(mine, own_alphabet.MAX_OWN_WITHHELD)
    others = prototypes.unlike(head, prototypes.other_characters()[::5])
    known = fit_known(mine, head.logits(others).max(axis=1), own_alphabet.MAX_OWN_WITHHELD)

    assert answer["rule"]["labels"] == list(letters)
    assert answer["rule"]["temperature"] == pytest.approx(temperature)
    assert answer["rule"]["known"]["threshold"] == pytest.approx(known.threshold, abs=1e-3)
    logits = head.logits(embedding(preprocessor.batch(preprocessor.images(asked))))  # type: ignore[arg-type]
    confidences, shares = softmax(logits, temperature), known.probabilities(logits.max(axis=1))
    read = 0
    for told, confidence, share in zip(answer["predictions"], confidences, shares, strict=True):
        best = int(confidence.argmax())
        assert told["top"][0]["label"] == letters[best]
        assert told["top"][0]["confidence"] == pytest.approx(confidence[best], abs=1e-3)
        assert told["known"] == pytest.approx(share, abs=1e-3)
        assert told["label"] == (letters[best] if share >= known.threshold else None)
        read += told["label"] is not None
    assert read >= len(letters)  # else nothing but refusals was compared


def test_variations_are_other_pictures_of_the_same_character(tmp_path: Path) -> None:
    prepared = Preprocessor(open_model(model_path("glyphs").read_bytes()).spec.preprocessing).image(
        letter("R", np.random.default_rng(0))
    )
    answer = in_node(
        "teach_cases.mjs",
        {
            "script": str(ASSETS / "page.js"),
            "runtime": str(ASSETS / "runtime.wasm.gz"),
            "ink": str(INK_FILE),
            "base": str(model_path("glyphs")),
            "others": str(ASSETS / "others.bin"),
            "samples": [{"label": each, "image": encode(prepared)} for each in "RS"],
            "images": [],
        },
        tmp_path,
    )
    first, *others = [decode(each) for each in answer["families"][0]]
    assert (first == prepared).all()
    seen = [first]
    for other in others:
        assert not any((other == each).all() for each in seen)
        # Most of its ink lies where the character's is, widened a little.
        near = cv2.dilate(first, np.ones((7, 7), np.uint8))
        assert other[near > 0].sum() > 0.9 * other.sum() > 0
        seen.append(other)


LABELS = [
    *"aAbßÄäςΣσİıſ\u212aﬁ0~%.:/\\*?'\"<>|", "a.b", "100%", "%2F", "con", "Train", "NUL.x", "E:I", " a", "a ",
    "x" * 50, "ش" * 50, "ا", "ﻻ", "\u0301", "e\u0301", "ᜀ", "α", "ძ", "Ა", "ꮝ", "Ꮝ", "\u200d", "क्ष", "漢",
    "𐐨", "𐐀", "😀", "ǅ", "ŉ",
]  # fmt: skip


def test_folders_of_crops_have_the_names_that_python_gives(tmp_path: Path) -> None:
    asked = {"script": str(ASSETS / "page.js"), "labels": LABELS}
    given = in_node("folder_cases.mjs", asked, tmp_path)
    assert given == [class_folder(label) for label in LABELS]
