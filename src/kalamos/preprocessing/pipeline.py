"""Turn a declared step list into a callable, and refuse a list that means nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import NoInkError, PreprocessingError, suggest
from kalamos.preprocessing.prepared import AlreadyNormalized
from kalamos.preprocessing.steps import MAX_SIDE, MAX_WORKING_PIXELS, STEPS, GreyImage, Step

__all__ = ["DEFAULT_STEPS", "Preprocessor", "default_steps"]


def default_steps(size: int) -> tuple[Mapping[str, object], ...]:
    """Steps that make squares of `size` px in MNIST's own geometry (LeCun et al. 1998).

    The ink's longer side is 20/28 of the side, its centre of mass in the middle, bright on black. An
    image that already looks so passes through unchanged.

    >>> default_steps(64)[3]["size"]
    46
    """
    longer = max(1, round(size * 20 / 28))
    return (
        {"step": "polarity", "min_contrast": 24},
        {"step": "ink_box"},
        {"step": "stroke", "size": longer},
        {"step": "resize", "size": longer, "tolerance": 0.15},
        {"step": "centre", "size": size},
        {"step": "normalise", "mean": 0.0, "std": 1.0},
    )


DEFAULT_STEPS = default_steps(28)

MAX_STEPS = 16
"""The default has six."""


_OUTPUT_SIZES: dict[object, int] = {}
"""Steps -> the side of the squares that they make. A process opens a few models, over and over."""


class Preprocessor:
    """A compiled step list.

    Args:
        steps: one mapping a step: its name under `"step"`, its parameters beside it. The last is
            always `normalise` (`mean`, `std` of intensities scaled to [0, 1]).

    Raises:
        PreprocessingError: an unknown step or parameter, a value of the wrong kind or range, or no
            `normalise` at the end.
    """

    def __init__(self, steps: Sequence[Mapping[str, object]]) -> None:
        if not steps or steps[-1].get("step") != "normalise":
            raise PreprocessingError(
                "the last preprocessing step is not 'normalise'",
                remedy='end the list with {"step": "normalise", "mean": 0.0, "std": 1.0}',
            )
        if len(steps) > MAX_STEPS:
            raise PreprocessingError(f"{len(steps):,} preprocessing steps are more than {MAX_STEPS}")
        self.steps = tuple(dict(step) for step in steps)
        self._chain = [_compile(step) for step in steps[:-1]]
        self._prepared = AlreadyNormalized.from_steps(steps[:-1])
        first = next((step["step"] for step in steps if step["step"] != "grey"), None)
        self.min_decode_pixels: int | None = MAX_WORKING_PIXELS if first == "polarity" else None
        """Pixels (height x width) that a picture may be scaled down to before the steps; None where each
        counts. It is what the first step does with more, so that a photograph may be decoded reduced."""
        mean, std = _mean_and_std(steps[-1])
        self.scale = np.float32(1.0 / (255.0 * std))
        """`normalise` in two numbers: grey * scale - shift."""
        self.shift = np.float32(mean / std)

    def image(self, grey: GreyImage) -> GreyImage:
        """One grey image uint8 [H, W], any size -> uint8 [S, S], as the network will see it.

        Raises:
            NoInkError: nothing is written on it.
        """
        if self._is_prepared(grey):
            return grey
        try:
            for step in self._chain:
                grey = step(grey)
        except (cv2.error, ArithmeticError) as error:
            # Parameters that are each in range may still make nothing of an image.
            raise PreprocessingError(
                f"the preprocessing fails on an image ({type(error).__name__})"
            ) from error
        return grey

    def trace(self, grey: GreyImage) -> Iterator[tuple[str, GreyImage]]:
        """What each step makes of an image, one after the other; the last is what the network sees.

        Yields:
            The step's name and its result, uint8 [h, w] (`normalise`, which changes no picture, apart).

        Raises:
            NoInkError: from the step that finds nothing written, after the results of those before it.

        >>> page = np.full((80, 60), 255, np.uint8)
        >>> page[10:70, 27:33] = 0
        >>> [(name, image.shape) for name, image in Preprocessor(DEFAULT_STEPS).trace(page)]
        ... # doctest: +NORMALIZE_WHITESPACE
        [('polarity', (80, 60)), ('ink_box', (60, 6)), ('stroke', (60, 6)), ('resize', (20, 2)),
         ('centre', (28, 28))]
        """
        prepared = self._is_prepared(grey)
        for declared, step in zip(self.steps[:-1], self._chain, strict=True):
            grey = grey if prepared else step(grey)
            yield str(declared["step"]), grey

    def output_size(self) -> int:
        """S, the side in px of the squares that `image` makes; found by trying, once for each list of steps.

        Raises:
            PreprocessingError: images of other shapes come out otherwise, or not at all.
        """
        steps = tuple(tuple(sorted(step.items())) for step in self.steps)
        size = _OUTPUT_SIZES.get(steps)
        if size is None:
            size = _OUTPUT_SIZES[steps] = self._tried_output_size()
        return size

    def _tried_output_size(self) -> int:
        # Neither the page nor its ink is square: what comes out so was made so.
        page = np.zeros((64, 48), np.uint8)
        page[12:52, 20:28] = 255
        height, width = self.image(page).shape
        if height != width:
            raise PreprocessingError(
                "the preprocessing does not make every image a square of one size",
                remedy="put a 'centre' step before 'normalise'",
            )
        return int(height)

    def images(self, greys: Sequence[GreyImage]) -> list[GreyImage | NoInkError]:
        """`image` of each, in order, a blank one's error in its place.

        Several times faster than one by one where they `stacks` and are prepared already.
        """
        if not greys or self._prepared is None or not all(map(self.stacks, greys)):
            return [self._attempt(grey) for grey in greys]
        kept = self._prepared.check_batch(np.stack(greys)).tolist()
        return [grey if keep else self._attempt(grey) for grey, keep in zip(greys, kept, strict=True)]

    def images_with_ink(self, greys: Sequence[GreyImage]) -> tuple[list[int], list[GreyImage]]:
        """Which of the images have ink, rising, and `images` of those."""
        outcomes = enumerate(self.images(greys))
        inked = [(row, image) for row, image in outcomes if not isinstance(image, NoInkError)]
        return [row for row, _ in inked], [image for _, image in inked]

    def stacks(self, grey: GreyImage) -> bool:
        """Whether an image has the size at which `images` looks at many at once."""
        return self._prepared is not None and self._prepared.has_size(grey)

    def _is_prepared(self, grey: GreyImage) -> bool:
        """Whether the steps, which would clean and sharpen it again, have done so already."""
        return self._prepared is not None and self._prepared.check(grey)

    def _attempt(self, grey: GreyImage) -> GreyImage | NoInkError:
        try:
            return self.image(grey)
        except NoInkError as error:
            return error

    def batch(self, images: Sequence[GreyImage] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """AlreadyNormalized images, N of uint8 [S, S] -> float32 [N, 1, S, S], normalised."""
        stacked = np.asarray(images)[:, np.newaxis]
        values = np.multiply(stacked, self.scale, dtype=np.float32)
        if self.shift:
            values -= self.shift
        return values


def _compile(declared: Mapping[str, object]) -> Step:
    parameters = dict(declared)
    name = parameters.pop("step", None)
    if not isinstance(name, str):
        raise PreprocessingError(f"the preprocessing step {dict(declared)!r} has no name under 'step'")
    if name == "normalise":
        raise PreprocessingError("'normalise' stands before the end of the preprocessing")
    function = STEPS.get(name)
    known = {key: p for key, p in inspect.signature(function).parameters.items() if key != "image"}
    for key, value in parameters.items():
        if key not in known:
            raise PreprocessingError(
                f"preprocessing step {name!r} has no parameter {key!r}", remedy=suggest(key, known)
            )
        _check_number(name, key, value, whole=known[key].annotation == "int")
    missing = [k for k, p in known.items() if p.default is inspect.Parameter.empty and k not in parameters]
    if missing:
        raise PreprocessingError(f"preprocessing step {name!r} lacks {', '.join(map(repr, missing))}")
    return partial(function, **parameters)


def _check_number(step: str, key: str, value: object, *, whole: bool) -> float:
    wanted, (least, most) = int if whole else (int, float), (1, MAX_SIDE) if key == "size" else (0, 4096)
    if isinstance(value, bool) or not isinstance(value, wanted) or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise PreprocessingError(
            f"preprocessing step {step!r}: {key} = {value!r} is not {kind} between {least} and {most}"
        )
    return float(value)


def _mean_and_std(declared: Mapping[str, object]) -> tuple[float, float]:
    unknown = set(declared) - {"step", "mean", "std"}
    if unknown:
        raise PreprocessingError(f"preprocessing step 'normalise' has no parameter {min(unknown)!r}")
    mean = _check_number("normalise", "mean", declared.get("mean", 0.0), whole=False)
    std = _check_number("normalise", "std", declared.get("std", 1.0), whole=False)
    if std == 0:
        raise PreprocessingError("preprocessing step 'normalise': std = 0 would divide by zero")
    return mean, std
