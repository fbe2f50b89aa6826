from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, Split
from kalamos.doctor import inspect
from kalamos.doctor.records import as_record


def test_the_keys_are_stable(clean: Dataset) -> None:
    images = clean.train.images.copy()
    images[41] = images[2]
    names = tuple(f"{row}\ud800.png" for row in range(160))
    dataset = replace(clean, train=Split(images, clean.train.labels, np.arange(160), names), test=None)
    record = as_record(inspect(dataset, labels=False))
    assert list(record) == [
        "kalamos_version", "dataset", "source", "grouped_by", "errors", "warnings", "images", "parts",
        "classes", "imbalance", "sizes", "polarity", "label_check", "findings",
    ]  # fmt: skip
    assert (record["images"], record["parts"], record["imbalance"]) == (160, {"train": 160}, 1.0)
    assert record["classes"][0] == {"label": "ا", "train": 40}
    assert record["sizes"]["width"] == {"min": 28, "median": 28.0, "max": 28}
    assert record["polarity"] == {"dark_on_light": 0, "light_on_dark": 160, "unclear": 0}
    assert record["label_check"] is None
    two, across = record["findings"]
    assert list(two) == ["kind", "severity", "title", "meaning", "remedy", "count", "cases"]
    assert (two["kind"], two["severity"], two["count"]) == ("two-labels", "error", 1)
    assert across["kind"] == "group-crossing"
    [case] = two["cases"]
    assert list(case) == ["images", "what", "suggested", "quality", "difference"]
    assert case["images"][0] == {
        "part": "train",
        "index": 2,
        "label": "ا",
        "name": r"2\ud800.png",
        "group": 2,
    }
    assert json.loads(json.dumps(record, ensure_ascii=False, allow_nan=False).encode()) == record


def test_a_dataset_without_images_has_no_sizes() -> None:
    nothing = Split(np.zeros((0, 9, 9), np.uint8), np.zeros(0, np.int64))
    record = as_record(inspect(Dataset("none", DIGITS, nothing, None, "x"), labels=False))
    assert (record["images"], record["sizes"], record["imbalance"]) == (0, None, None)
