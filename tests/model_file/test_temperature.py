from __future__ import annotations

import pytest

from kalamos.model_file.temperature import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    MIN_TEMPERATURE_IMAGES,
    bound_temperature,
    temperature_text,
)


@pytest.mark.parametrize("fitted", [0.05, 0.084, 0.9, 20.0])
def test_few_images_fit_no_temperature(fitted: float) -> None:
    assert bound_temperature(fitted, MIN_TEMPERATURE_IMAGES - 1) == 1
    assert bound_temperature(fitted, MIN_TEMPERATURE_IMAGES) == min(
        max(fitted, MIN_TEMPERATURE), MAX_TEMPERATURE
    )


def test_it_is_told_what_it_comes_from() -> None:
    assert temperature_text(1.0, 1) == "1.000, not fitted: 1 validation image is fewer than 100"
    assert temperature_text(0.084, 30).startswith("0.084, not to be believed: 30 validation images are fewer")
    assert (
        temperature_text(MIN_TEMPERATURE, 300)
        == "0.250 (the lowest that is taken), fitted on the 300 validation images"
    )
    assert temperature_text(MAX_TEMPERATURE, 300).startswith("4.000 (the highest that is taken), ")
    assert temperature_text(1.3, None) == "1.300, fitted on the validation images"
