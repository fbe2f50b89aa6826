"""Griffe's extension for the reference: doctests in docstrings become blocks of code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"^(?P<indent>[ \t]*)>>> .*\n(?:(?P=indent)\S.*\n)*", re.MULTILINE)
"""From a prompt to the next blank line."""

_FLAGS = re.compile(r"[ \t]*#\s*doctest:.*$", re.MULTILINE)


def fence_doctests(docstring: str) -> str:
    r"""The docstring with each of its doctests in a fence, without the flags that are for doctest.

    >>> fence_doctests("Add.\n\n>>> 1 + 1  # doctest: +SKIP\n2\n\nMore.")
    'Add.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore.'
    """
    return _DOCTEST.sub(_fenced, f"{docstring}\n")[:-1]


def _fenced(found: re.Match[str]) -> str:
    indent = found["indent"]
    return f"{indent}```pycon\n{_FLAGS.sub('', found[0])}{indent}```\n"


class FencedDoctests(griffe.Extension):
    """Changes the docstrings that Griffe has collected."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Change those of all objects of the package."""
        self._fence_within(pkg)

    def _fence_within(self, thing: griffe.Object) -> None:
        if thing.docstring is not None:
            thing.docstring.value = fence_doctests(thing.docstring.value)
        for member in thing.members.values():
            if not member.is_alias:
                self._fence_within(member)
