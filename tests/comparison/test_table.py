from __future__ import annotations

import io

from rich.console import Console

from kalamos.comparison.outcomes import Comparison
from kalamos.comparison.table import WIDTH, as_markdown, print_comparison


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
    assert lines[0] == "d, test: 1,000 images, 2 files passed over"


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
