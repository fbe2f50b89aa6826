"""Text for a terminal: nothing in the name of a file, a table or a model can command the terminal."""

from __future__ import annotations

import io
import re
import sys

import click

__all__ = ["allow_any_label", "echo", "echo_json", "shown"]

_CONTROLS = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON leaves as they are, and that a terminal obeys or shows in another order."""


def shown(text: object) -> str:
    r"""Show control characters, and those that reverse the text, as `\x1b`; line feeds stay.

    >>> print(shown("a\x1b[31m.png: damaged"))
    a\x1b[31m.png: damaged
    """
    from kalamos.writers.escape import lines_without_controls  # `kalamos --help` does without

    return lines_without_controls(str(text))


def echo(text: object = "", *, err: bool = False) -> None:
    """Print text as `shown` makes it, whatever the terminal's encoding."""
    click.echo(shown(text), err=err)


def echo_json(text: str, *, nl: bool = True) -> None:
    r"""Print JSON with such characters escaped (`\u009b`), which leaves its values as they are."""
    click.echo(_CONTROLS.sub(lambda match: f"\\u{ord(match.group()):04x}", text), nl=nl)


def allow_any_label() -> None:
    """Escape characters that the terminal's encoding lacks, rather than end a table with an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
