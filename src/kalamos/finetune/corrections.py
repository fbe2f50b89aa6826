"""What people corrected, kept at once: a folder of images by label, and a line about each.

```
FOLDER/7/20260331T101502-3f9a1c07e2.png     what `kalamos train FOLDER` and `kalamos teach` take as they are
FOLDER/.not-characters/20260331T...png      what is no character: no class, so its name is hidden
FOLDER/corrections.jsonl                    a line each: image, label, guess, confidence, time, session
```

Images that a person called "not a character" have the label null in the log. Their folder begins with a dot,
and datasets pass over such folders: neither `train` nor `teach` takes them for a class.

Where a label is put right later, the image moves to the folder of the new one, and a line is added. The old
line stays in the log, and is passed over since its image is gone.

Several programs may write to one folder at a time: an image has a name of its own, and a line is added by
one write at the end of the file, under a lock where the system has one.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2

from kalamos.alphabets import CONTROL_CHARACTERS
from kalamos.datasets.local import folder_of
from kalamos.errors import OutputError, UsageError
from kalamos.finetune.examples import Examples, check_label
from kalamos.images import ImageSource, load_grey
from kalamos.inputs.files import is_safe_path
from kalamos.predictions import Prediction
from kalamos.utils.atomic_write import write_bytes

__all__ = ["Correction", "Corrections"]

LOG: Final = "corrections.jsonl"

NOT_CHARACTERS: Final = ".not-characters"
"""The folder for images without a character; no class can be called so, see `folder_of`."""


@dataclass(frozen=True)
class Correction:
    """One line of the log.

    Attributes:
        image: the file, relative to the folder, with forward slashes.
        label: what a person said; None for "not a character".
        guess: what the model said; None where it said nothing.
        confidence: of the guess, in [0, 1]; None where there is none.
        time: ISO 8601, UTC.
        session: who wrote it, so that each undoes its own.
    """

    image: str
    label: str | None
    guess: str | None
    confidence: float | None
    time: str
    session: str


class Corrections:
    """The corrections in a folder, which is made when the first one is added.

    Raises `UsageError` where the path is a file.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = Corrections(folder)
    ...     entry = kept.add(np.eye(9), "7", Prediction("1", 0.6))
    ...     [(each.label, each.guess) for each in kept], kept.undo() == entry, len(kept)
    ([('7', '1')], True, 0)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder}: is a file", remedy="name a folder for the corrections")
        self._session = secrets.token_hex(6)
        self._added: list[Correction] = []

    def add(
        self,
        image: ImageSource,
        label: str | None,
        guess: Prediction | None = None,
        when: datetime | None = None,
    ) -> Correction:
        """Keep an image with its right label; it is on the disk when this returns.

        Args:
            image: as `Recognizer.predict` takes it; kept grey, as a PNG file.
            label: None for an image that is not a character.
            guess: what the model answered.
            when: with its time zone; by default now.

        Raises:
            ImageError: the image cannot be read.
            AlphabetError: the label is blank, too long, or holds control characters.
            UsageError: `when` has no time zone.
            OutputError: the folder cannot be written.
        """
        text = None if label is None else check_label(label)
        moment = _in_utc(when)
        _, encoded = cv2.imencode(".png", load_grey(image))
        # A few random digits: two sessions never have the same name for two images.
        file = f"{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(5)}.png"
        entry = Correction(
            image=f"{_class_folder(text)}/{file}",
            label=text,
            # An abstention has no label, but a best candidate.
            guess=guess.top[0].label if guess and guess.top else guess.label if guess else None,
            confidence=guess.confidence if guess else None,
            time=moment.isoformat(timespec="milliseconds"),
            session=self._session,
        )
        with self._locked():
            self._keep(entry, encoded.tobytes())
        self._added.append(entry)
        return entry

    def undo(self) -> Correction | None:
        """Take back the last correction that this object added; returns it, or None where there is none.

        Raises:
            OutputError: the folder cannot be written.
        """
        if not self._added:
            return None
        entry = self._added[-1]
        with self._locked():
            kept = [line for line in self._lines() if _parsed(line) != entry]
            write_bytes(self.folder / LOG, b"".join(line + b"\n" for line in kept))
            image = self.folder / entry.image
            try:
                image.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot remove {str(image)!r}: {error.strerror}") from error
            with suppress(OSError):  # others lie in it
                image.parent.rmdir()
        self._added.pop()
        return entry

    def relabel(self, entry: Correction, label: str | None, when: datetime | None = None) -> Correction:
        """Give a kept image another label: it moves to the folder of its class, under the same name.

        The log keeps what was said before. Killed on the way, the image still has its old label.

        Args:
            entry: one of this folder.
            label: None for "not a character".
            when: with its time zone; by default now.

        Returns:
            The new entry; `entry` itself where that has the label already.

        Raises:
            AlphabetError: the label is blank, too long, or holds control characters.
            UsageError: the image is not there any more, or `when` has no time zone.
            OutputError: the folder cannot be written.
        """
        text = None if label is None else check_label(label)
        if text == entry.label:
            return entry
        moment = _in_utc(when)
        name = entry.image.rpartition("/")[2]
        moved = replace(
            entry,
            image=f"{_class_folder(text)}/{name}",
            label=text,
            time=moment.isoformat(timespec="milliseconds"),
            session=self._session,
        )
        with self._locked():
            old, new = self.folder / entry.image, self.folder / moved.image
            if not old.is_file():
                raise UsageError(f"{str(old)!r}: is not there any more", remedy="read the folder again")
            if new.exists():
                raise OutputError(f"{str(new)!r}: is there already", remedy="move it away")
            _make_class_folder(new.parent)
            # The line first: until the image is where it says, readers pass it over.
            self._append(moved)
            try:
                old.rename(new)
            except OSError as error:
                raise OutputError(f"cannot move {str(old)!r}: {error.strerror}") from error
            with suppress(OSError):  # others lie in it
                old.parent.rmdir()
        return moved

    def __iter__(self) -> Iterator[Correction]:
        """All that are in the folder, of every session, in the order in which their last lines came.

        Lines that are damaged, and those whose image is gone or has a later line, are passed over.
        """
        last: dict[str, Correction] = {}
        for line in self._lines():
            entry = _parsed(line)
            if entry is not None:
                last.pop(entry.image, None)
                last[entry.image] = entry
        for entry in last.values():
            if (self.folder / entry.image).is_file():
                yield entry

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def examples(self) -> Examples:
        """For `kalamos.finetune.teach`: the images of all corrections with their labels.

        Those that are not characters are left out.
        """
        labelled = [(self.folder / entry.image, entry.label) for entry in self if entry.label is not None]
        images, labels = [image for image, _ in labelled], [label for _, label in labelled]
        return Examples.of(images, labels, name=self.folder.resolve().name)

    def _keep(self, entry: Correction, content: bytes) -> None:
        path = self.folder / entry.image
        _make_class_folder(path.parent)
        # The image first: a line never tells of a file that is not there.
        write_bytes(path, content)
        try:
            self._append(entry)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise

    def _lines(self) -> list[bytes]:
        try:
            return (self.folder / LOG).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OutputError(f"cannot read {str(self.folder / LOG)!r}: {error.strerror}") from error

    def _append(self, entry: Correction) -> None:
        path = self.folder / LOG
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        try:
            with path.open("a+b", buffering=0) as stream:
                # A crash may have left half a line, which must not swallow this one.
                size = stream.seek(0, os.SEEK_END)
                if size and not _ends_line(stream.fileno(), size):
                    line = b"\n" + line
                stream.write(line)
                os.fsync(stream.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {str(path)!r}: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, among processes and threads."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {str(self.folder)!r}: {error.strerror}",
                remedy="choose another place",
            ) from error
        try:
            import fcntl
        except ImportError:  # Windows: an append is one write, and only an undo could meet another session
            yield
            return
        try:
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"cannot write in {str(self.folder)!r}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _class_folder(label: str | None) -> str:
    return NOT_CHARACTERS if label is None else folder_of(label)


def _make_class_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {str(path)!r}: {error.strerror}", remedy="choose another place"
        ) from error


def _in_utc(when: datetime | None) -> datetime:
    moment = when or datetime.now(UTC)
    if moment.tzinfo is None:
        raise UsageError("the time of a correction has no time zone", remedy="use datetime.now(UTC)")
    return moment.astimezone(UTC)


def _ends_line(descriptor: int, size: int) -> bool:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def _parsed(line: bytes) -> Correction | None:
    """A line of the log; None for a damaged one."""
    try:
        entry = Correction(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    # A line may come from elsewhere, and must not lead out of the folder.
    if not isinstance(entry.image, str) or not is_safe_path(entry.image):
        return None
    if entry.label is None and not entry.image.startswith(f"{NOT_CHARACTERS}/"):
        return None
    texts = [entry.time, entry.session, *(each for each in (entry.label, entry.guess) if each is not None)]
    if not all(isinstance(text, str) and not CONTROL_CHARACTERS.search(text) for text in texts):
        return None
    numbers = (int, float, type(None))
    return entry if isinstance(entry.confidence, numbers) and 0 <= (entry.confidence or 0) <= 1 else None
