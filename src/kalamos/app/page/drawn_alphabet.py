"""An alphabet that a visit draws or drops in: which character comes next, and where the samples lie."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kalamos.errors import OutputError, UsageError
from kalamos.finetune.examples import check_label
from kalamos.finetune.from_fonts import split_characters
from kalamos.images import EXTENSIONS
from kalamos.sheets.letters import class_folder
from kalamos.utils.atomic_write import write_bytes, write_text

if TYPE_CHECKING:
    from kalamos.finetune import Examples

__all__ = ["DrawnAlphabet", "in_rounds", "name_characters"]

MAX_CHARACTERS: Final = 400
"""Of one alphabet on the page; for more there is `kalamos teach glyphs`."""

ROUNDS: Final = 5
"""How often each character is asked for: what a reader of one's own hand needs."""


def name_characters(text: str) -> tuple[str, ...]:
    r"""Tell the characters that a person named: one a line where there are lines, else one after another.

    Raises:
        UsageError: fewer than two, or more than `MAX_CHARACTERS`.
        AlphabetError: what cannot be a label.

    >>> name_characters("αβ γ"), name_characters("sun\nmoon\n")
    (('α', 'β', 'γ'), ('sun', 'moon'))
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = tuple(dict.fromkeys(map(check_label, lines))) if len(lines) > 1 else split_characters(text)
    if not 2 <= len(found) <= MAX_CHARACTERS:
        raise UsageError(
            f"these are {len(found)} characters" if len(found) > 1 else "this is one character",
            remedy=f"name 2 to {MAX_CHARACTERS}, one after another or one a line",
        )
    return found


@dataclass
class DrawnAlphabet:
    """Samples of an alphabet in a folder, a dataset with a manifest; each is written at once.

    Attributes:
        name: of the alphabet, and of the model that is taught.
        labels: its characters, in the order in which they are asked for.
        folder: where the samples lie; those that were there before count too.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mine = DrawnAlphabet("mine", ("a", "b"), Path(folder))
    ...     mine.add(b"png"), mine.asked, mine.counts()["a"], mine.undo(), mine.asked
    (None, 'b', 1, 'a', 'a')
    """

    name: str
    labels: tuple[str, ...]
    folder: Path
    skipped: int = 0
    """How many characters were passed over in this round."""
    _added: list[tuple[str, Path]] = field(default_factory=list)

    @property
    def asked(self) -> str:
        """The character to draw now: of those with the fewest samples the first that was not skipped."""
        counts = self.counts()
        order = sorted(range(len(self.labels)), key=lambda at: (counts[self.labels[at]], at))
        return self.labels[order[self.skipped % len(order)]]

    def counts(self) -> Counter[str]:
        """Count the samples of each character."""
        return Counter({label: len(self.samples(label)) for label in self.labels})

    def samples(self, label: str) -> list[Path]:
        """List a character's samples, the oldest first."""
        folder = self._folder(label)
        try:
            return sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
        except OSError:  # none yet
            return []

    def add(self, image: bytes, label: str | None = None) -> None:
        """Keep a sample of the character that is asked for, or of another.

        Raises:
            OutputError: the disk does not take it.
        """
        label = self.asked if label is None else label
        folder = self._folder(label)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder of {label} cannot be made ({error.strerror})") from error
        number = 1 + max((int(path.stem) for path in self.samples(label) if path.stem.isdecimal()), default=0)
        path = folder / f"{number:03d}.png"
        write_bytes(path, image)
        self._list()
        self._added.append((label, path))
        self.skipped = 0

    def skip(self) -> None:
        """Ask for another character."""
        self.skipped += 1

    def undo(self) -> str | None:
        """Take back the last sample of this visit; return its label, or None if there is none."""
        if not self._added:
            return None
        label, path = self._added.pop()
        path.unlink(missing_ok=True)
        self._list()
        self.skipped = 0
        return label

    def examples(self) -> Examples:
        """Read all samples.

        Raises:
            UsageError: fewer than two characters have one.
        """
        from kalamos.finetune import load_examples

        drawn = [label for label, count in self.counts().items() if count]
        if len(drawn) < 2:
            raise UsageError("two characters at least need a sample", remedy="draw some first")
        return load_examples(self.folder)

    def _folder(self, label: str) -> Path:
        return self.folder / class_folder(label)

    def _list(self) -> None:
        """Write the manifest; the n-th samples of all characters are one hand, left out together."""
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(("path", "label", "group"))
        for label in self.labels:
            for path in self.samples(label):
                table.writerow((path.relative_to(self.folder).as_posix(), label, path.stem))
        write_text(self.folder / "manifest.csv", text.getvalue())


def in_rounds(labels: Iterable[str]) -> str:
    """Say how much there is to draw.

    >>> in_rounds("ab")
    '2 characters, 5 times each: 10 drawings'
    """
    n = len(tuple(labels))
    return f"{n} characters, {ROUNDS} times each: {n * ROUNDS} drawings"
