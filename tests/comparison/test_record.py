from __future__ import annotations

import json

import pytest

from kalamos.comparison import record
from kalamos.comparison.outcomes import Comparison
from kalamos.comparison.record import as_plain


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
    assert [key for key in keys if key not in (record.__doc__ or "")] == []
