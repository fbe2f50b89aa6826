"""The preprocessing pipeline: a list of declared steps made callable, and a check for images that need none.

Exports of MNIST and its family already have the geometry that the default steps make. Running the steps on
them one by one costs more than decoding them; `AlreadyNormalized` recognises them, many at a time, at little
cost.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import NoInkError, PreprocessingError, suggest
from kalamos.preprocessing.resizing import border_bytes
from kalamos.preprocessing.steps import (
    FULL_CONTRAST,
    MAX_SIDE,
    MAX_WORKING_PIXELS,
    STEPS,
    GreyImage,
    Step,
    ink_of_all,
    limit_size,
)

__all__ = ["DEFAULT_STEPS", "AlreadyNormalized", "Preprocessor", "default_steps"]

NORMALIZING_STEPS = (("ink", "crop", "resize", "centre"), ("ink", "crop", "stroke", "resize", "centre"))
"""The lists of steps for which `AlreadyNormalized` knows what they leave alone."""


class AlreadyNormalized:
    """The geometry that `NORMALIZING_STEPS` leave alone.

    The steps search all other images for specks, and could take a little away each time.

    Args:
        size: side of the square.
        shortest: the least longer side of the ink, in px.
        longest: the greatest.
    """

    def __init__(self, size: int, shortest: float, longest: int) -> None:
        self.size = size
        self._shortest = shortest
        self._longest = longest

    @classmethod
    def from_steps(cls, steps: Sequence[Mapping[str, object]]) -> AlreadyNormalized | None:
        """Return what these steps (without `normalise`) leave alone; None if only trying can tell."""
        if tuple(step["step"] for step in steps) not in NORMALIZING_STEPS:
            return None
        declared = {str(step["step"]): step for step in steps}
        resize, centre = declared["resize"], declared["centre"]
        contrast = declared["ink"].get("min_contrast", 0)
        if not isinstance(contrast, int) or contrast > FULL_CONTRAST:  # then full contrast may be no ink
            return None
        size, longest = centre["size"], resize["size"]
        tolerance = resize.get("tolerance", 0.0)
        if not (isinstance(size, int) and isinstance(longest, int) and isinstance(tolerance, (int, float))):
            return None
        stroke = declared.get("stroke", resize)["size"]
        if not isinstance(stroke, int) or longest > 2 * stroke:  # then `stroke` may change what fits
            return None
        return cls(size, longest * (1 - tolerance), longest)

    def has_size(self, grey: NDArray[np.uint8]) -> bool:
        """Return whether an image has the size of the squares."""
        return grey.shape == (self.size, self.size)

    def check(self, grey: NDArray[np.uint8]) -> bool:
        """Return whether one image needs no change: `check_batch` of one image, in a tenth of its time."""
        if not self.has_size(grey):
            return False
        edges = border_bytes(grey)
        x, y, width, height = cv2.boundingRect(grey)
        if 2 * edges.count(0) <= len(edges) or not self._shortest <= max(width, height) <= self._longest:
            return False
        if cv2.minMaxLoc(grey)[1] < FULL_CONTRAST:
            return False
        moments = cv2.moments(grey)
        mass = moments["m00"]
        return self._stays(x, width, moments["m10"], mass) and self._stays(y, height, moments["m01"], mass)

    def _stays(self, first: int, extent: int, moment: float, mass: float) -> bool:
        """Return whether `centre` would leave the ink where it is, along one axis."""
        placed = round(self.size / 2 - (moment - first * mass) / mass)
        return min(max(placed, 0), self.size - extent) == first

    def check_batch(self, stack: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which of the images uint8 [N, size, size] are prepared: bool [N].

        Never true for an image that the steps would change; false for a few that they would not.
        """
        count, size = len(stack), self.size
        # OpenCV adds up bytes five times as fast as NumPy; where a sum is not 0, there is ink.
        down = _sums(stack.reshape(-1, size), axis=1).reshape(count, size)
        turned = stack.reshape(count, -1).T.copy().reshape(size, -1)  # [S, S * N]
        across = _sums(turned, axis=0).reshape(size, count).T
        rows, columns = down > 0, across > 0  # [N, S]
        # A character may reach the border; black is the paper while most of the border is black.
        sides = stack[:, 0], stack[:, -1], stack[:, :, 0], stack[:, :, -1]
        inside = sum(np.count_nonzero(side, axis=1) for side in sides) < 2 * size
        longer = np.maximum(_extent(rows), _extent(columns))
        fits = (longer >= self._shortest) & (longer <= self._longest)
        contrast = stack.max(axis=(1, 2)) >= FULL_CONTRAST
        prepared: NDArray[np.bool_] = (
            inside & fits & contrast & self._centred(down, rows) & self._centred(across, columns)
        )
        return prepared

    def _centred(self, masses: NDArray[np.int32], occupied: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return whether `centre` would leave the ink, its masses along one axis [N, S], where it is."""
        total = np.maximum(masses.sum(axis=1), 1)
        first, extent = occupied.argmax(axis=1), _extent(occupied)
        middle = (masses @ np.arange(self.size) - first * total) / total
        # As `centre` rounds, at the very half of a pixel too.
        placed = np.clip(np.rint(self.size / 2 - middle), 0, self.size - extent)
        centred: NDArray[np.bool_] = placed == first
        return centred


def _sums(values: NDArray[np.uint8], *, axis: int) -> NDArray[np.int32]:
    return cv2.reduce(values, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)  # type: ignore[return-value]


def _extent(occupied: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Measure from the first to the last true of each row, [N, S] -> [N]."""
    extent: NDArray[np.int64] = occupied.shape[1] - occupied.argmax(axis=1) - occupied[:, ::-1].argmax(axis=1)
    return extent


def default_steps(size: int) -> tuple[Mapping[str, object], ...]:
    """Return steps that make squares of `size` px in MNIST's own geometry (LeCun et al. 1998).

    The ink's longer side is 20/28 of the side, its centre of mass in the middle, bright on black. An
    image that already looks so passes through unchanged.

    >>> default_steps(64)[3]["size"]
    46
    """
    longer = max(1, round(size * 20 / 28))
    return (
        {"step": "ink", "min_contrast": 24},
        {"step": "crop"},
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
        """As declared."""
        current = [_current(step) for step in steps[:-1]]
        self._chain = [(str(step.get("step")), _compile(step)) for step in current]
        self._ink_parameters: dict[str, Any] = next(
            ({k: v for k, v in step.items() if k != "step"} for step in current if step["step"] == "ink"), {}
        )
        self._prepared = AlreadyNormalized.from_steps(current)
        first = next((name for name, _ in self._chain if name != "grey"), None)
        self.min_decode_pixels: int | None = MAX_WORKING_PIXELS if first == "ink" else None
        """Pixels (height x width) that a picture may be scaled down to before the steps; None where each
        counts. It is what the first step does with more, so that a photograph may be decoded reduced."""
        mean, std = _mean_and_std(steps[-1])
        self.scale = np.float32(1.0 / (255.0 * std))
        """`normalise` in two numbers: grey * scale - shift."""
        self.shift = np.float32(mean / std)

    def image(self, grey: GreyImage) -> GreyImage:
        """Prepare one grey image uint8 [H, W], any size -> uint8 [S, S], as the network will see it.

        Raises:
            NoInkError: nothing is written on it.
        """
        return grey if self._is_prepared(grey) else _apply(self._chain, grey)

    def trace(self, grey: GreyImage) -> Iterator[tuple[str, GreyImage]]:
        """Apply the steps one after the other; the last result is what the network sees.

        Yields:
            The step's name and its result, uint8 [h, w] (`normalise`, which changes no picture, apart).

        Raises:
            NoInkError: from the step that finds nothing written, after the results of those before it.

        >>> page = np.full((80, 60), 255, np.uint8)
        >>> page[10:70, 27:33] = 0
        >>> [(name, image.shape) for name, image in Preprocessor(DEFAULT_STEPS).trace(page)]
        ... # doctest: +NORMALIZE_WHITESPACE
        [('ink', (80, 60)), ('crop', (60, 6)), ('stroke', (60, 6)), ('resize', (20, 2)),
         ('centre', (28, 28))]
        """
        prepared = self._is_prepared(grey)
        for name, step in self._chain:
            grey = grey if prepared else step(grey)
            yield name, grey

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

    def reduce(self, grey: GreyImage) -> GreyImage:
        """Scale a large picture down as the first step would, if that is what it does."""
        return grey if self.min_decode_pixels is None else limit_size(grey)

    def images(self, greys: Sequence[GreyImage]) -> list[GreyImage | NoInkError]:
        """Prepare each image, in order, with a blank one's error in its place.

        Several times faster than one by one where they `stacks` and are prepared already.
        """
        outcomes: dict[int, GreyImage | NoInkError] = {}
        square = [row for row, grey in enumerate(greys) if self.stacks(grey)]
        if square and self._prepared is not None:
            kept = self._prepared.check_batch(np.stack([greys[row] for row in square]))
            outcomes = {row: greys[row] for row, keep in zip(square, kept.tolist(), strict=True) if keep}
        rest = [row for row in range(len(greys)) if row not in outcomes]
        chain = self._chain
        begun: list[GreyImage | NoInkError] = [greys[row] for row in rest]
        if rest and chain and chain[0][0] == "ink":
            chain, begun = chain[1:], ink_of_all([greys[row] for row in rest], **self._ink_parameters)
        for row, grey in zip(rest, begun, strict=True):
            outcomes[row] = grey if isinstance(grey, NoInkError) else self._attempt(grey, chain)
        return [outcomes[row] for row in range(len(greys))]

    def images_of_ink(self, inks: Sequence[GreyImage]) -> list[GreyImage | NoInkError]:
        """Prepare pictures on which the ink was found already: bright on black, with nothing else on them.

        The step `ink` is left out; steps without one take them like any other picture.
        """
        chain = self._chain[1:] if self._chain and self._chain[0][0] == "ink" else self._chain
        return [self._attempt(ink, chain) for ink in inks]

    def images_with_ink(self, greys: Sequence[GreyImage]) -> tuple[list[int], list[GreyImage]]:
        """Return the indices of the images with ink, rising, and those images, prepared."""
        outcomes = enumerate(self.images(greys))
        inked = [(row, image) for row, image in outcomes if not isinstance(image, NoInkError)]
        return [row for row, _ in inked], [image for _, image in inked]

    def stacks(self, grey: GreyImage) -> bool:
        """Return whether an image has the size at which `images` checks many at once."""
        return self._prepared is not None and self._prepared.has_size(grey)

    def _is_prepared(self, grey: GreyImage) -> bool:
        """Return whether the steps, which would clean and sharpen it again, have done so already."""
        return self._prepared is not None and self._prepared.check(grey)

    def _attempt(self, grey: GreyImage, chain: Sequence[tuple[str, Step]]) -> GreyImage | NoInkError:
        try:
            return _apply(chain, grey)
        except NoInkError as error:
            return error

    def batch(self, images: Sequence[GreyImage] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """AlreadyNormalized images, N of uint8 [S, S] -> float32 [N, 1, S, S], normalised."""
        stacked = np.asarray(images)[:, np.newaxis]
        values = np.multiply(stacked, self.scale, dtype=np.float32)
        if self.shift:
            values -= self.shift
        return values


_FIRST_VERSION: Mapping[object, tuple[str, frozenset[str]]] = {
    "polarity": ("ink", frozenset()),
    "ink_box": ("crop", frozenset({"faint"})),
}
"""Steps in model files of the first version: what they are called now, and the parameters that are gone."""


def _current(declared: Mapping[str, object]) -> Mapping[str, object]:
    """Return a step as it is called now.

    >>> _current({"step": "ink_box", "faint": 2})
    {'step': 'crop'}
    """
    name, gone = _FIRST_VERSION.get(declared.get("step"), (None, frozenset()))
    if name is None:
        return declared
    for key in gone & declared.keys():
        _check_number(str(declared["step"]), key, declared[key], whole=True)
    kept = {key: value for key, value in declared.items() if key not in gone}
    return {**kept, "step": name}


def _apply(chain: Sequence[tuple[str, Step]], grey: GreyImage) -> GreyImage:
    try:
        for _, step in chain:
            grey = step(grey)
    except (cv2.error, ArithmeticError) as error:
        # Parameters that are each in range may still make nothing of an image.
        raise PreprocessingError(f"the preprocessing fails on an image ({type(error).__name__})") from error
    return grey


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
