"""Old spellings of options: accepted, hidden from `--help`, and answered with a warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from kalamos.cli.terminal import echo

__all__ = ["AliasedCommand", "warn_deprecated"]


class AliasedCommand(click.Command):
    """A command whose options can also be given as they were once spelled.

    Args:
        old_spellings: the old spelling of each renamed option, and the new one: `{"--part": "--split"}`.
    """

    def __init__(self, *args: Any, old_spellings: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._old_spellings = old_spellings

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*map(self._spell, args[:end]), *args[end:]])

    def _spell(self, argument: str) -> str:
        option, equals, value = argument.partition("=")
        if option not in self._old_spellings:
            return argument
        warn_deprecated(option, self._old_spellings[option])
        return f"{self._old_spellings[option]}{equals}{value}"


def warn_deprecated(old: str, new: str) -> None:
    """Print that something is spelled in another way now."""
    echo(f"kalamos: {old} is deprecated; use {new}", err=True)
