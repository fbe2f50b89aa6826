"""What `kalamos predict` was asked for, whichever engine does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kalamos.model_file import ModelSpec
    from kalamos.reading_options import ReadingOptions

__all__ = ["Asked"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The command line's options; None where one was left out and has no value of its own."""

    paths: tuple[str, ...]
    model: str
    format_name: str | None
    output: str | None
    top_k: int
    min_confidence: float | None
    target_accuracy: float | None
    charset: str | None
    show: str | None
    column: str | None
    jobs: int | None
    engine: str
    address: str | None
    quiet: bool

    def reading(self, spec: ModelSpec) -> ReadingOptions:
        """How this model is to answer.

        Raises:
            UsageError: see `reading_options`.
        """
        from kalamos.reading_options import reading_options

        return reading_options(
            spec,
            top_k=self.top_k,
            min_confidence=self.min_confidence,
            target_accuracy=self.target_accuracy,
            charset=self.charset,
        )
