"""All sets alike: grey images, the same for a seed, other ones for judging than for training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kalamos.alphabets import DIGITS
from kalamos.errors import DatasetError, UsageError
from kalamos.evaluation.ood import SETS, OODContext, OutlierSet, open_set
from kalamos.evaluation.ood.sets import procedural
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

ALL = ("paper", "photos", "scribbles", "shapes", "textures")


def opened(name: str, side: str, seed: int = 0) -> OutlierSet:
    try:
        return open_set(name, OODContext(DIGITS, side, seed))
    except DatasetError as error:
        pytest.skip(str(error))


def test_names() -> None:
    assert SETS.names() == ALL


@pytest.mark.parametrize("side", ["train", "eval"])
@pytest.mark.parametrize("name", ALL)
def test_images_are_grey_and_go_through_the_preprocessing(name: str, side: str) -> None:
    outliers = opened(name, side)
    images = [outliers.draw(index) for index in range(40)]
    assert {(image.dtype, image.ndim) for image in images} == {(np.dtype(np.uint8), 2)}
    assert min(min(image.shape) for image in images) >= 12
    assert max(max(image.shape) for image in images) <= 200
    assert len({image.tobytes() for image in images}) == 40
    assert len({image.shape for image in images}) > 10
    prepared = Preprocessor(DEFAULT_STEPS).images(images)
    assert sum(isinstance(each, np.ndarray) for each in prepared) >= (
        20 if name in ("scribbles", "shapes") else 1
    )


@pytest.mark.parametrize("name", ALL)
def test_an_image_depends_on_seed_family_and_number_alone(name: str) -> None:
    again, other_side = opened(name, "eval"), opened(name, "train")
    outliers, other_seed = opened(name, "eval"), opened(name, "eval", seed=1)
    forwards = [outliers.draw(index).tobytes() for index in range(12)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda index: again.draw(index).tobytes(), reversed(range(12))))
    assert threaded[::-1] == forwards
    for other in (other_side, other_seed):
        assert set(forwards).isdisjoint(other.draw(index).tobytes() for index in range(12))


def test_two_families_and_two_sets_draw_from_streams_of_their_own() -> None:
    def noise(generator: np.random.Generator) -> np.ndarray:
        return generator.integers(0, 256, (4, 4), np.uint8)

    settings = [OODContext(DIGITS, "eval"), OODContext(DIGITS, "train"), OODContext(DIGITS, "eval", 1)]
    sets = [procedural(name, context, noise) for name in "ab" for context in settings]
    assert len({each.draw(0).tobytes() for each in sets}) == 6


def test_scribbles_have_ink_and_paper_mostly_not() -> None:
    prepare = Preprocessor(DEFAULT_STEPS)

    def blank(name: str) -> float:
        outliers = opened(name, "eval")
        images = prepare.images([outliers.draw(index) for index in range(60)])
        return float(np.mean([not isinstance(image, np.ndarray) for image in images]))

    assert blank("scribbles") < blank("paper") / 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("scribles", "unknown outlier set 'scribles'; did you mean 'scribbles'?"),
        ("", "unknown outlier set ''"),
        ("script", "outlier set 'script' names no dataset; write script:NAME"),
        ("script:", "names no dataset"),
        ("SHAPES", "unknown outlier set 'SHAPES'"),
    ],
)
def test_a_name_that_is_none(name: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_set(name, OODContext(DIGITS, "eval"))
    assert told in str(caught.value)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed = -1 is negative"):
        OODContext(DIGITS, "eval", -1)


def test_an_absent_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="ahcd: there is no"):
        open_set("script:ahcd", OODContext(DIGITS, "eval", 0, tmp_path))
