from __future__ import annotations

import numpy as np

from kalamos.comparison.timing import time_side_by_side


def test_all_calls_are_timed_in_every_round_and_in_changing_order() -> None:
    made: list[int] = []
    calls = [lambda name=name: made.append(name) for name in range(3)]
    seconds = time_side_by_side(calls, rounds=20, block_seconds=1e-9)
    assert seconds.shape == (20, 3)
    assert (seconds > 0).all()
    # Two calls to get to know each, then in every round one unmeasured and one measured.
    rounds = np.array(made[6:]).reshape(20, 3, 2)
    assert (rounds[..., 0] == rounds[..., 1]).all()
    orders = {tuple(order) for order in rounds[..., 0].tolist()}
    assert len(orders) > 1
    assert all(sorted(order) == [0, 1, 2] for order in orders)


def test_short_calls_are_repeated_within_a_round() -> None:
    made: list[None] = []
    time_side_by_side([lambda: made.append(None)], rounds=2, block_seconds=0.001)
    assert len(made) > 50
