"""A register of named things, filled by a decorator: preprocessing steps, architectures, datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from kalamos.errors import KalamosError, suggest

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to things of one kind; a misspelt name is answered with the nearest known one.

    >>> from kalamos.errors import UsageError
    >>> shapes = Registry[int]("shape", UsageError)
    >>> @shapes.register("triangle")
    ... def corners() -> int: return 3
    >>> shapes.names()
    ('triangle',)
    >>> shapes.get("triangel")
    Traceback (most recent call last):
    ...
    kalamos.errors.UsageError: unknown shape 'triangel'; did you mean 'triangle'?
    """

    def __init__(self, kind: str, error: type[KalamosError]) -> None:
        self._kind = kind
        self._error = error
        self._entries: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        def enter(entry: Callable[..., T]) -> Callable[..., T]:
            if name in self._entries:
                raise ValueError(f"{self._kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return enter

    def get(self, name: str) -> Callable[..., T]:
        try:
            return self._entries[name]
        except KeyError:
            remedy = suggest(name, self._entries)
            raise self._error(f"unknown {self._kind} {name!r}", remedy=remedy) from None

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._entries))
