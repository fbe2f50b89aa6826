"""What a recogniser answers: one `Prediction` an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from kalamos.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NOT_A_CHARACTER", "NOT_SURE", "SEVERAL", "Candidate", "Prediction"]

NOT_A_CHARACTER, NOT_SURE = "not a character", "not sure enough"
SEVERAL = "several characters: use kalamos read"
"""Why a model abstains: its `known` is low (and there seem to be several side by side), or its confidence."""


class Candidate(NamedTuple):
    """One entry of the top-k: a label and its probability in [0, 1]."""

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one image.

    Exactly one of three cases holds:

    - read: `label` and `confidence` are set;
    - abstained: `label` is None, `confidence` and `top` say how unsure the model was, `reason` why;
    - failed: `label` and `confidence` are None, `top` is empty and `error` says why (a blank
      image carries a `NoInkError`).

    >>> Prediction(label="7", confidence=0.998, top=(Candidate("7", 0.998), Candidate("1", 0.002)))
    Prediction(label='7', confidence=0.998)
    """

    label: str | None
    confidence: float | None
    """Calibrated probability of the best label, in [0, 1]; under a charset, among the labels it keeps."""
    top: tuple[Candidate, ...] = ()
    """The k most probable labels, most probable first."""
    path: str | None = None
    """The file's path as it was given (POSIX separators), or a member's name (see `kalamos.inputs`); None for
    bytes and arrays."""
    error: ImageError | None = None
    abstained: bool = False
    removed: float | None = None
    """Under a charset, the probability in [0, 1] that the labels left out had; None without one."""
    known: float | None = None
    """Calibrated probability that the image is one of the model's characters at all, in [0, 1], whichever it
    is; None if the model does not tell."""
    reason: str | None = None
    """Why the model abstained; None if it did not."""
    prepared: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    """What the model saw, uint8 [S, S], of an image without a path that was read by itself; for notebooks."""

    def _repr_html_(self) -> str:
        # Late, as results are made of predictions.
        table: str = import_module("kalamos.results").predictions_html([self])
        return table

    def __repr__(self) -> str:
        shown = [f"label={self.label!r}"]
        if self.confidence is not None:
            shown.append(f"confidence={self.confidence:.3f}")
        if self.path is not None:
            shown.append(f"path={self.path!r}")
        if self.known is not None:
            shown.append(f"known={self.known:.3f}")
        if self.abstained:
            shown.append("abstained=True" if self.reason is None else f"abstained={self.reason!r}")
        if self.removed is not None:
            shown.append(f"removed={self.removed:.3f}")
        if self.error is not None:
            shown.append(f"error={str(self.error)!r}")
        return f"Prediction({', '.join(shown)})"
