from __future__ import annotations

import pytest

from kalamos.errors import RecipeError, UsageError
from kalamos.utils import Registry


@pytest.fixture
def shapes() -> Registry[int]:
    shapes = Registry[int]("shape", UsageError)
    shapes.register("triangle")(lambda: 3)
    shapes.register("square")(lambda: 4)
    return shapes


def test_what_was_registered_is_found_by_its_name(shapes: Registry[int]) -> None:
    assert shapes.get("square")() == 4
    assert shapes.names() == ("square", "triangle")  # sorted


def test_the_decorator_returns_what_it_registers() -> None:
    def corners() -> int:
        return 5

    assert Registry[int]("shape", UsageError).register("pentagon")(corners) is corners


def test_a_misspelt_name_is_answered_with_the_nearest(shapes: Registry[int]) -> None:
    with pytest.raises(UsageError, match="unknown shape 'triangel'; did you mean 'triangle'"):
        shapes.get("triangel")


def test_a_strange_name_is_answered_with_all_of_them(shapes: Registry[int]) -> None:
    with pytest.raises(UsageError, match="choose from: square, triangle"):
        shapes.get("octahedron")


def test_the_error_is_the_registry_s_own_and_hides_the_lookup() -> None:
    with pytest.raises(RecipeError) as caught:
        Registry[int]("network", RecipeError).get("x")
    assert caught.value.remedy == ""
    assert caught.value.__suppress_context__


def test_a_name_is_taken_once(shapes: Registry[int]) -> None:
    with pytest.raises(ValueError, match="shape 'square' is registered twice"):
        shapes.register("square")(lambda: 5)
    assert shapes.get("square")() == 4
