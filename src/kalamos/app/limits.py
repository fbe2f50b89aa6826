"""What one request may ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from kalamos.errors import UsageError
from kalamos.images.decoding import MAX_PIXELS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Limits", "require_positive_fields"]


def require_positive_fields(limits: DataclassInstance) -> None:
    """Raise `UsageError` for a field of a dataclass of bounds that would refuse everything."""
    for field in fields(limits):
        value = getattr(limits, field.name)
        if not value > 0:
            raise UsageError(
                f"the limit {field.name} = {value!r} would refuse everything",
                remedy="use a positive number",
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what the server takes, for the API and the page alike.

    Raises `UsageError` for a bound that would refuse everything.

    >>> Limits().images <= Limits().queue
    True
    >>> Limits(queue=0)
    Traceback (most recent call last):
    kalamos.errors.UsageError: the limit queue = 0 would refuse everything; use a positive number
    """

    upload_bytes: int = 20 * 2**20
    """Bytes of one request's body."""
    pixels: int = MAX_PIXELS
    """Width x height of one image, seen before it is decoded."""
    images: int = 256
    """Images in one request; at most `queue`."""
    queue: int = 1024
    """Images that may wait or be read at any time, over all requests."""
    seconds: float = 30.0
    """For a request to arrive whole, and again for its images to be read."""

    def __post_init__(self) -> None:
        require_positive_fields(self)
        if self.images > self.queue:
            raise UsageError(
                f"a request of {self.images} images would never fit into a queue of {self.queue}",
                remedy="allow fewer images a request or a longer queue",
            )
