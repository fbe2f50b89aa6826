from __future__ import annotations

import io
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rich.console import Console

from kalamos.learn.compare import report
from kalamos.learn.compare.outcomes import Comparison
from kalamos.learn.compare.report import WIDTH, as_markdown, as_plain, comparison_plot, print_comparison

pytest.importorskip("matplotlib", reason="needs the extra 'train'")


def drawn(found: Comparison) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(comparison_plot(found), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def share_of(image: np.ndarray, rgb: str) -> float:
    colour = np.array([int(rgb[i : i + 2], 16) for i in (4, 2, 0)])
    return float((np.abs(image.astype(int) - colour).max(axis=2) < 12).mean())


def test_every_system_with_a_model_is_drawn_in_its_colour(found: Comparison) -> None:
    image = drawn(found)
    assert image.shape[1] == 1600
    assert share_of(image, "0072b2") > 2e-4
    assert share_of(image, "d55e00") > 2e-4
    assert share_of(image, "009e73") == 0


def test_any_name_can_be_drawn(found: Comparison) -> None:
    systems = tuple(replace(system, name=f"$x^ \\frac حرف {system.name * 30}") for system in found.systems)
    drawn(replace(found, systems=systems * 9, dataset="$"))


def test_a_comparison_without_any_model_is_drawn_too(lone: Comparison) -> None:
    assert share_of(drawn(lone), "ffffff") > 0.5


def test_the_record_has_the_figures(found: Comparison) -> None:
    plain = json.loads(json.dumps(as_plain(found), allow_nan=False))
    cnn2, transfer, failed = plain["systems"]
    assert cnn2["accuracy"] == pytest.approx(0.98)
    assert cnn2["accuracy_std"] == pytest.approx(0.0141421, rel=1e-4)
    assert cnn2["seeds"] == [1, 2]
    assert (cnn2["parameters_trainable"], cnn2["parameters_total"]) == (112_517, 225_034)
    assert (cnn2["ms_per_image"], cnn2["ms_ratio"]) == (0.125, 1.0)
    assert (cnn2["train_seconds"], cnn2["train_images_per_second"]) == (60.0, 200.0)
    assert (transfer["seeds"], transfer["accuracy_std"]) == ([1], None)
    assert [run["error"] for run in transfer["runs"]] == [None, "the loss became nan"]
    assert failed["accuracy"] is failed["interval_95"] is failed["ms_per_image"] is None
    [pair] = plain["pairs"]
    assert (pair["a"], pair["b"], pair["better"]) == ("cnn2", "mobilenet_v2_transfer", "cnn2")
    assert pair["difference"] == pytest.approx(0.33)
    assert pair["tests"][0]["only_a"] == 330
    assert pair["significant"] is True


def test_the_keys_are_always_the_same_and_all_documented(found: Comparison) -> None:
    plain = as_plain(found)
    for rows in (plain["systems"], [run for system in plain["systems"] for run in system["runs"]]):
        assert len({tuple(sorted(row)) for row in rows}) == 1
    keys = [*plain, *plain["systems"][0], *plain["systems"][0]["runs"][0], *plain["pairs"][0]]
    assert [key for key in keys if key not in (report.__doc__ or "")] == []


def printed(found: Comparison) -> list[str]:
    stream = io.StringIO()
    print_comparison(Console(file=stream, width=WIDTH), found)
    return stream.getvalue().splitlines()


def test_the_table_fits_and_says_what_was_measured(found: Comparison) -> None:
    lines = printed(found)
    assert max(map(len, lines)) <= WIDTH
    assert lines[0] == "mnist, test: 1,000 images"
    words = [line.split() for line in lines]
    row = next(i for i, line in enumerate(words) if line[:1] == ["cnn2"])
    assert words[row] == ["cnn2", "98.00", "%", "1.41", "%", "225,034", "2,389", "kB", "0.125", "1", "min"]
    assert words[row + 1] == ["2", "seeds", "96.93", "to", "98.70", "112,517", "x", "1", "200"]
    assert words[row + 2][:4] == ["mobilenet_v2_transfer", "66.00", "%", "–"]
    assert words[row + 3][:4] == ["1", "seed,", "1", "failed"]
    assert lines[-1] == "p is that of McNemar's test"
    assert lines[-2] == "cnn2 is better than mobilenet_v2_transfer: 99.00 % against 66.00 %, p < 0.001"
    assert lines[-5:-2] == [
        "mobilenet_v2_transfer, seed 2: failed: the loss became nan",
        "a|b*c, seed 1: failed: no weights",
        "a|b*c, seed 2: failed: no weights",
    ]


def test_long_names_are_folded(found: Comparison) -> None:
    long = found.systems[0].__class__("n" * 300, "cnn2", found.systems[0].members, found.systems[0].speed)
    lines = printed(Comparison("d", "test", 1000, 2, (long, *found.systems), ()))
    assert max(map(len, lines)) <= WIDTH
    assert sum(line.count("n" * 20) for line in lines) >= 12
    assert lines[0] == "d, test: 1,000 images, 2 files skipped"


def test_nothing_left_to_compare_is_said(lone: Comparison) -> None:
    assert printed(lone)[-1] == "no two systems were left to compare"
    assert "| a\\|b\\*c (2 failed) | – | – |" in as_markdown(lone)


def test_the_markdown_has_the_same_figures(found: Comparison) -> None:
    lines = as_markdown(found).splitlines()
    assert lines[0] == "# mnist, test: 1,000 images"
    table = [line for line in lines if line.startswith("|")]
    assert table[0].startswith("| system (seeds) | accuracy (95 % interval) | sd (over seeds) |")
    assert len(table) == 5
    assert table[2].startswith("| cnn2 (2 seeds) | 98.00 % (96.93 to 98.70) | 1.41 % | 225,034 (112,517) |")
    assert "- cnn2 is better than mobilenet_v2_transfer: 99.00 % against 66.00 %, p < 0.001" in lines
