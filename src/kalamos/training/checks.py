"""Fields of a configuration that say what they accept, and the check of them.

A wrong type or range is told when the configuration is made, whether it came from TOML, from options
or from code:

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Oven:
...     degrees: float = number(180.0)
...     mode: str = choice("fan", "fan", "grill")
...     def __post_init__(self) -> None:
...         check(self)
>>> Oven(mode="gril")
Traceback (most recent call last):
...
kalamos.errors.RecipeError: mode = 'gril' is not one of fan, grill; did you mean 'grill'?
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from kalamos.errors import RecipeError, suggest

__all__ = ["check", "choice", "name", "names", "number", "probability", "share", "whole"]

FINITE = math.nextafter(math.inf, 0.0)
"""The largest float; TOML has whole numbers beyond it."""


@dataclass(frozen=True)
class _Rule:
    wanted: str
    holds: Callable[[object], bool]
    known: tuple[str, ...] = ()


def whole(default: int, least: int = 1) -> Any:
    """An int of at least `least`."""
    wanted = f"a whole number of at least {least}"
    return _field(default, _Rule(wanted, lambda value: type(value) is int and value >= least))


def number(default: float, most: float = FINITE) -> Any:
    """A finite number in [0, most]."""
    wanted = "a finite number, not negative" if most == FINITE else f"a number in [0, {most:g}]"
    return _field(default, _Rule(wanted, lambda value: _is_number(value, math.inf) and value <= most))  # type: ignore[operator]


def share(default: float, below: float = 1.0) -> Any:
    """A number in [0, below)."""
    return _field(default, _Rule(f"a share in [0, {below:.3g})", lambda value: _is_number(value, below)))


def probability(default: float) -> Any:
    """A number in [0, 1]."""
    below = math.nextafter(1.0, 2.0)
    return _field(default, _Rule("a probability in [0, 1]", lambda value: _is_number(value, below)))


def choice(default: str, *known: str) -> Any:
    """One of the names in `known`."""
    return _field(default, _Rule(f"one of {', '.join(known)}", lambda value: value in known, known))


def name(default: str) -> Any:
    """Any text."""
    return _field(default, _Rule("a name", lambda value: isinstance(value, str)))


def names() -> Any:
    """Any texts, a tuple; none by default."""

    def holds(value: object) -> bool:
        return isinstance(value, tuple) and all(isinstance(entry, str) and entry for entry in value)

    return _field((), _Rule("a list of names", holds))


def check(config: Any) -> None:
    """Hold every field of a dataclass against its rule.

    Raises:
        RecipeError: a value is of the wrong type or out of range.
    """
    for entry in fields(config):
        rule = entry.metadata.get("rule")
        value = getattr(config, entry.name)
        if rule is not None and not rule.holds(value):
            remedy = suggest(value, rule.known, otherwise="") if isinstance(value, str) else ""
            near = remedy if remedy.startswith("did you mean") else ""
            raise RecipeError(f"{entry.name} = {value!r} is not {rule.wanted}", remedy=near)


def _field(default: object, rule: _Rule) -> Any:
    return field(default=default, metadata={"rule": rule})


def _is_number(value: object, below: float) -> bool:
    return type(value) in {int, float} and 0 <= value < below  # type: ignore[operator]
