"""The corruptions, by name: what each does and how much of it makes which strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["MNIST_C", "PHOTOGRAPH", "STRENGTHS", "Corruption", "Grey", "Group", "corruption", "registered"]

Grey: TypeAlias = NDArray[np.uint8]
Group: TypeAlias = Literal["MNIST-C", "photograph"]
Amount = TypeVar("Amount")

MNIST_C: Final = "MNIST-C"
"""At the dataset's own size (Mu and Gilmer 2019); strength 2 is about as strong as the paper's single one."""
PHOTOGRAPH: Final = "photograph"
"""The character drawn smoothly, large, on a page, as a camera or a scanner would see it."""

STRENGTHS: Final = (1, 2, 3)


@dataclass(frozen=True)
class Corruption:
    """One way in which images can differ from the training data.

    Attributes:
        name: in lower case, words joined by `_`; MNIST-C's kinds have its names.
        group: "MNIST-C" or "photograph".
        description: one line.
        amounts: what `how` is given at the strengths 1, 2 and 3.
        how: frame uint8 [S, S] (`frame.framed`), amount, generator -> uint8 [H, W].
    """

    name: str
    group: Group
    description: str
    amounts: tuple[Any, Any, Any]
    how: Callable[[Grey, Any, np.random.Generator], Grey]


registered: dict[str, Corruption] = {}


def corruption(
    group: Group, amounts: tuple[Amount, Amount, Amount]
) -> Callable[
    [Callable[[Grey, Amount, np.random.Generator], Grey]],
    Callable[[Grey, Amount, np.random.Generator], Grey],
]:
    """Enter a function under its name; the first line of its docstring describes it.

    Args:
        amounts: the function's second argument at strengths 1, 2 and 3.
    """

    def enter(
        how: Callable[[Grey, Amount, np.random.Generator], Grey],
    ) -> Callable[[Grey, Amount, np.random.Generator], Grey]:
        description = (how.__doc__ or "").partition("\n")[0].rstrip(".")
        if how.__name__ in registered:
            raise ValueError(f"corruption {how.__name__!r} is registered twice")
        registered[how.__name__] = Corruption(how.__name__, group, description, amounts, how)
        return how

    return enter
