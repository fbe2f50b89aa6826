"""Check the files that were skipped while the dataset was loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

from kalamos.datasets import SkippedFile
from kalamos.doctor.findings import Case, Finding
from kalamos.images import EXTENSIONS
from kalamos.writers.escape import one_line

__all__ = ["check_files"]

_LINE = re.compile(r":\d+$")  # of a manifest


def check_files(problems: Iterable[SkippedFile]) -> list[Finding]:
    """Report lost images and manifest lines as errors, other skipped files as a warning.

    >>> found = check_files([SkippedFile("a/1.png", "truncated"), SkippedFile("notes.txt", "not an image")])
    >>> [(one.kind, one.cases[0].what) for one in found]
    [('unreadable', 'a/1.png: truncated'), ('foreign', 'notes.txt: not an image')]
    """
    cases: dict[str, list[Case]] = {"unreadable": [], "foreign": []}
    for problem in problems:
        # An escaped name stands in quotes.
        is_image = PurePath(problem.where.strip("'")).suffix.lower() in EXTENSIONS
        lost = is_image or _LINE.search(problem.where) is not None
        cases["unreadable" if lost else "foreign"].append(Case(what=one_line(str(problem))))
    return [Finding(kind, tuple(some)) for kind, some in cases.items()]
