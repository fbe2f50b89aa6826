"""The options of `predict`, each declared once.

`PredictOptions` is what Python, the command line and the HTTP API share: its fields make the click options
(`kalamos.cli._shared.predict_options`), the fields and the JSON schema of an API request
(`kalamos.app.schema`) and the keyword arguments of `Recognizer`. To add an option, add a field here and its
name to `PredictKeywords`, and use it where predictions are made (`kalamos.postprocessing`).

This module imports neither numpy nor the model code, so that `kalamos predict --help` stays fast.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, TypedDict, TypeVar

from kalamos.errors import UsageError

__all__ = ["OptionInfo", "PredictKeywords", "PredictOptions", "option_infos", "spell_out_options"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class OptionInfo:
    """How one option is described, checked and offered."""

    help: str
    """One sentence or two; `{name}` stands for another option, which each front spells in its own way."""
    expected: str
    """What a value has to be, for messages: "a probability in [0, 1]"."""
    remedy: str = ""
    kind: type[int | float | str] = float
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    max_length: int | None = None
    """Characters, of a request to the API."""
    flags: tuple[str, ...] = ()
    """Of the command line; none where it does not offer the option."""
    cli_le: float | None = None
    """The largest value that the command line takes, where it is less than `le`."""
    metavar: str | None = None
    cli_default: float | None = None
    """The default that the command line shows, if the field has none."""
    in_api: bool = True

    def check(self, name: str, value: object) -> None:
        """Raise `UsageError` unless a value is of the kind and in the range."""
        if self.kind is str:
            return  # what a charset may be depends on the model: `kalamos.alphabets.restrict`
        number = isinstance(value, Integral if self.kind is int else Real)
        if not number or not self._contains(value):  # type: ignore[arg-type]
            raise UsageError(f"{name} = {value!r} is not {self.expected}", remedy=self.remedy)

    def _contains(self, value: float) -> bool:
        return (
            value < math.inf
            and (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
        )


def _option(default: Any, help: str, **info: Any) -> Any:  # noqa: A002  (as in click)
    return field(default=default, metadata={"info": OptionInfo(help, **info)})


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """How a model is to answer, checked when it is made; `None` takes the model's or the library's default.

    Attributes:
        top_k: the number of candidates to keep, at least 1.
        min_confidence: abstain below this confidence, in [0, 1]; None takes the model's own.
        target_accuracy: abstain below the confidence that reached this accuracy among the images answered,
            in (0, 1], when the model was validated (`spec.selective`): an estimate, for images like those.
            Instead of `min_confidence`.
        min_known: abstain below this probability that the image is one of the model's characters at all, in
            [0, 1]; None takes the model's own, 0 answers whatever it is. For models that tell
            (`ModelSpec.known`).
        charset: answer with these characters alone: `digits`, `upper`, `lower`, `letters`, or the characters
            themselves (see `kalamos.alphabets.restrict`). Confidences are then shares of the probability that
            these characters have, and abstention looks at those; `Prediction.removed` is the probability of
            all others.
        timeout: the seconds that decoding one image may take; None takes 30 (`kalamos.isolation`).
        max_pixels: height x width of the largest image to decode; None takes 50 million.

    Raises:
        UsageError: a value out of range, or both `min_confidence` and `target_accuracy`. What depends on a
            model is checked by `kalamos.postprocessing.AnswerRule`.

    >>> PredictOptions(top_k=3, charset="digits").charset
    'digits'
    >>> PredictOptions(min_confidence=2)
    Traceback (most recent call last):
    kalamos.errors.UsageError: min_confidence = 2 is not a probability in [0, 1]
    """

    top_k: int = _option(
        5,
        "Candidates per image.",
        expected="a number of candidates",
        remedy="use 1 or more",
        kind=int,
        ge=1,
        flags=("-k", "--top-k"),
    )
    min_confidence: float | None = _option(
        None,
        "Give no label below this confidence.",
        expected="a probability in [0, 1]",
        ge=0,
        le=1,
        flags=("--min-confidence",),
        metavar="P",
    )
    target_accuracy: float | None = _option(
        None,
        "Give no label below the confidence that reached this accuracy among the images answered, in the "
        "model's validation. Instead of {min_confidence}.",
        expected="an accuracy in (0, 1]",
        remedy="0.99 asks for 99 % right among the images answered",
        gt=0,
        le=1,
        flags=("--target-accuracy",),
        metavar="A",
    )
    min_known: float | None = _option(
        None,
        "Give no label below this probability of being a character at all, whichever it is; 0 answers "
        "everything. Instead of the model's own.",
        expected="a probability in [0, 1]",
        ge=0,
        le=1,
        flags=("--min-known",),
        metavar="P",
    )
    charset: str | None = _option(
        None,
        "Answer with these characters only: digits, upper, lower, letters, or the characters themselves, "
        'such as "ABC123"; separate several by spaces.',
        expected="text",
        kind=str,
        max_length=10_000,
        flags=("--charset",),
        metavar="CHARS",
    )
    timeout: float | None = _option(
        None,
        "Give up on an image that takes longer to decode; it becomes a row with its error.",
        expected="a number of seconds",
        remedy="give the seconds that an image may take",
        gt=0,
        flags=("--timeout",),
        cli_le=3600,
        metavar="SECONDS",
        cli_default=30.0,
        in_api=False,
    )
    max_pixels: int | None = _option(
        None,
        "Height x width of the largest image to decode.",
        expected="a number of pixels",
        remedy="use 1 or more",
        gt=0,
        in_api=False,
    )

    def __post_init__(self) -> None:
        for name, info in _INFOS.items():
            value = getattr(self, name)
            if value is not None or name == "top_k":
                info.check(name, value)
        if self.min_confidence is not None and self.target_accuracy is not None:
            raise UsageError(
                "min_confidence and target_accuracy are both given", remedy="leave one of the two out"
            )


class PredictKeywords(TypedDict, total=False):
    """The fields of `PredictOptions` as keyword arguments, for type checkers."""

    top_k: int
    min_confidence: float | None
    target_accuracy: float | None
    min_known: float | None
    charset: str | None
    timeout: float | None
    max_pixels: int | None


_INFOS: Mapping[str, OptionInfo] = {
    each.name: each.metadata["info"] for each in dataclasses.fields(PredictOptions)
}


def option_infos() -> Mapping[str, OptionInfo]:
    """Each option's name and description, in order.

    >>> option_infos()["top_k"].flags
    ('-k', '--top-k')
    """
    return _INFOS


def spell_out_options(method: F) -> F:
    """Show each option by name in `help()` and in notebooks, in place of `**options`."""
    signature = inspect.signature(method)
    named = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    named += [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type
        )
        for each in dataclasses.fields(PredictOptions)
    ]
    method.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    return method
