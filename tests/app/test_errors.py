from __future__ import annotations

import math

import pytest

from kalamos.app.errors import Limits
from kalamos.errors import UsageError


@pytest.mark.parametrize("name", ["upload_bytes", "pixels", "images", "queue", "seconds"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_what_would_refuse_everything_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        Limits(**{name: value})


def test_a_request_fits_into_the_queue() -> None:
    with pytest.raises(UsageError, match="never fit"):
        Limits(images=10, queue=9)
