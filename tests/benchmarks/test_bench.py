from __future__ import annotations

import csv
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import growth
import http_api
import numpy as np
import pytest
from bench import PARTS
from figures import Row, at_least, at_most, table
from peers import _agreement
from pictures import CROP, crop, draw_crops, small_digits
from processes import Figures, run_once
from stages import STAGES, Clock, measure
from stages import report as stages_report

import kalamos

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def test_each_part_has_its_place_in_the_page() -> None:
    page = PAGE.read_text("utf-8")
    for part in PARTS:
        name = "bench" if part == "figures" else f"bench-{part}"
        assert page.count(f"<!-- {name} -->") == page.count(f"<!-- /{name} -->") == 1


def test_the_ratio_is_that_of_the_pairs() -> None:
    row = Row("a", Figures((1.0, 4.0, 9.0)), "s", "b", Figures((1.0, 2.0, 3.0)), at_most(2, 2.0))
    assert row.ratio.values == (1.0, 2.0, 3.0)
    text = table([row], "n = 3")
    assert (
        "| a | 4.00 (1.00 to 9.00) s | b: 2.00 (1.00 to 3.00) | 2.00 (1.00 to 3.00) | at most 2: reached |"
        in text
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (at_least(10_000, 9_999, "/s"), "at least 10,000/s: **not reached**"),
        (at_least(0.65, 0.65), "at least 0.65: reached"),
        (at_most(1.1, 1.11), "at most 1.1: **not reached**"),
        (at_most(50, -3, " MB"), "at most 50 MB: reached"),
    ],
)
def test_wanted_figures_tell_whether_they_were_reached(text: str, expected: str) -> None:
    assert text == expected


def test_a_command_s_memory_is_its_own() -> None:
    held = np.ones(300 * 2**20, np.uint8)
    seconds, megabytes = run_once([sys.executable, "-S", "-c", "import time; time.sleep(0.2)"])
    assert seconds > 0.2
    assert megabytes < held.nbytes / 1e6 / 4
    with pytest.raises(RuntimeError, match="ended with 3"):
        run_once([sys.executable, "-S", "-c", "raise SystemExit(3)"])


def test_each_moment_counts_for_the_innermost_stage() -> None:
    def busy() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    clock = Clock()
    decode = clock.timed("decode", busy)

    def prepare() -> None:
        busy()
        decode()

    started = time.thread_time()
    clock.timed("prepare", prepare)()
    assert list(clock.iterated("list", (busy() for _ in range(2)))) == [None, None]
    clock.enter("answer")
    spent = time.thread_time() - started
    assert sum(clock.spent.values()) == pytest.approx(spent, rel=0.1)
    assert [clock.spent[stage] for stage in ("prepare", "decode", "list")] == pytest.approx(
        [0.02, 0.02, 0.04], rel=0.2
    )


def test_every_stage_of_every_kind_of_image_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.draw_photos", draw_crops)
    threads = cv2.getNumThreads()
    try:
        profile = measure(1, 64)
    finally:
        cv2.setNumThreads(threads)
    assert all(profile[kind][stage] > 0 for kind in profile for stage in STAGES)
    assert stages_report(profile, 1).count("µs") == len(profile) * (len(STAGES) + 1)


def test_every_request_is_answered_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_api, "WARM_UP", 0.1)
    # A thread of its own: in this one a browser's event loop may be running.
    with ThreadPoolExecutor(1) as pool:
        rows, note = pool.submit(http_api.measure, 2, 1.0).result()
    alone, _, rate, p50, p95, p99 = (row.measured.median for row in rows)
    assert rate > 0
    assert 0 < alone < p50 <= p95 <= p99
    assert rows[3].floor.median < p50  # the slowest few tell of the machine
    assert " 0 of them lost" in note


def test_growth_times_many_images_after_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "FEW", 2)
    image = cv2.imencode(".png", np.eye(28, dtype=np.uint8) * 255)[1].tobytes()
    for size in (2, 30):
        growth._pack(growth._archive(str(tmp_path), size), [image], size)
    microseconds, megabytes = growth._run(str(tmp_path), 30)
    assert 0 < microseconds < 1e6
    assert megabytes > 30
    assert len((tmp_path / "out.csv").read_text("utf-8").splitlines()) == 1 + 30


def test_what_grows_is_said_to() -> None:
    flat, steep = Figures((100.0,)), Figures((120.0,))
    text = growth.report({1000: (flat, flat), 10_000: (steep, steep), 100_000: (flat, Figures((151.0,)))})
    assert text.count("not reached") == 2
    assert "1.20; at most 1.1: **not reached**" in text
    assert "+51 MB; at most 50 MB: **not reached**" in text


def test_disagreement_is_counted(tmp_path: Path) -> None:
    ours, peer = tmp_path / "ours.csv", tmp_path / "peer.csv"
    with ours.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], ["a", "1"], ["b", "2"], ["c", "3"]])
    peer.write_text("a,1\nb,2\nc,8\n")
    assert "the same label for 2 of 3 images" in _agreement(str(ours), str(peer))


def test_the_pictures_are_what_they_should_be() -> None:
    reader = kalamos.load("digits")
    digits = list(small_digits(20))
    assert all(image.shape == (28, 28) for image in digits)
    generator = np.random.default_rng(0)
    crops = [crop(i % 10, generator) for i in range(20)]
    assert all(image.shape == (CROP, CROP, 3) for image in crops)
    labels = [result.label for result in reader.predict_batch([image[..., ::-1] for image in crops])]
    assert sum(label == str(i % 10) for i, label in enumerate(labels)) >= 18
