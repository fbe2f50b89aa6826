"""A fine-tuned model that is not yet on disk, and how well it does on examples that were held out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kalamos.datasets import SkippedFile
from kalamos.errors import UsageError
from kalamos.finetune.old_classes import Taken
from kalamos.images.files import display_name
from kalamos.model_file import ModelSpec, open_model
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer
from kalamos.utils.atomic_write import write_bytes

__all__ = ["Expected", "FineTuned", "Sample", "Score", "Suspect", "check_target"]


@dataclass(frozen=True)
class Score:
    """Right answers on held-out examples; `known` ones have labels that the old model has.

    >>> Score(1, 2, 3, 4).accuracy
    0.6666666666666666
    """

    known_right: int
    known_n: int
    new_right: int
    new_n: int

    @property
    def n(self) -> int:
        return self.known_n + self.new_n

    @property
    def accuracy(self) -> float | None:
        """In [0, 1]; None if nothing was held out."""
        return (self.known_right + self.new_right) / self.n if self.n else None

    @property
    def known_accuracy(self) -> float | None:
        return self.known_right / self.known_n if self.known_n else None

    @property
    def new_accuracy(self) -> float | None:
        return self.new_right / self.new_n if self.new_n else None


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample as the model sees it.

    Attributes:
        label: what it is.
        image: uint8 [S, S], bright on black.
        answer: what a model of the other hands read; None where it was not held out.
        name: its file, "" for none.
    """

    label: str
    image: GreyImage
    answer: str | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example whose label is likely wrong, see `kalamos.datasets.label_errors`.

    Attributes:
        name: its file, "" for none.
        label: what it is said to be.
        answer: what it looks like.
    """

    name: str
    label: str
    answer: str


@dataclass(frozen=True)
class Expected:
    """How hands that a model did not learn from were read: each by a model of the others.

    Attributes:
        right: of `n` examples.
        n: examples; 0 where there were too few hands to leave one out.
        hands: how many.
        grouped_by: what tells the hands apart, such as "the manifest's groups".
        confused: (label, answer, how often), the most frequent first.
        weak: (label, right, n) of the classes that are read worst, the worst first.
    """

    right: int
    n: int
    hands: int
    grouped_by: str
    confused: tuple[tuple[str, str, int], ...] = ()
    weak: tuple[tuple[str, int, int], ...] = ()

    @property
    def accuracy(self) -> float | None:
        """In [0, 1]; None if nothing was measured."""
        return self.right / self.n if self.n else None


@dataclass(frozen=True, repr=False)
class FineTuned:
    """A fine-tuned model, not yet on disk.

    Attributes:
        spec: the spec in its file.
        content: the file.
        before: the score of the old model on the held-out examples; it knows no new label.
        after: the score, on the same examples, of a model trained on the others. The model in `content` has
            then learned from all.
        new_labels: the labels that the old model did not have, in the order of the outputs.
        n: the number of examples learned from.
        problems: the examples that were skipped.
        taught_from: the old model's file; None if it came as bytes.
        expected: what an alphabet of one's own is expected to do on unseen hands; None for other models.
        look_alikes: pairs of its labels that hardly differ.
        samples: what it was taught from, for `contact_sheet`.
        taken: (old label, new label, how many, of how many): what new classes take from old ones, measured on
            embeddings drawn from what the model remembers of those; the worst first.
        suspects: examples whose label is likely wrong, the likeliest first; they were learnt from.
        notes: what else to know, such as copies that were not held out.
    """

    spec: ModelSpec
    content: bytes
    before: Score
    after: Score
    new_labels: tuple[str, ...]
    n: int
    problems: tuple[SkippedFile, ...]
    taught_from: Path | None
    expected: Expected | None = None
    look_alikes: tuple[tuple[str, str], ...] = ()
    samples: tuple[Sample, ...] = ()
    taken: tuple[Taken, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        new = f", new: {' '.join(self.new_labels)}" if self.new_labels else ""
        return f"FineTuned({self.spec.name!r}, {len(self.labels)} classes, {self.n} examples{new})"

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, the old ones first."""
        return self.spec.alphabet.labels

    def recognizer(self) -> Recognizer:
        """Open the fine-tuned model."""
        return Recognizer(open_model(self.content))

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the new model file; the old one stays as it is.

        Args:
            force: whether an existing file may be replaced.

        Raises:
            UsageError: `path` is the old model, exists, or does not end in `.onnx`.
            OutputError: it cannot be written.
        """
        target = Path(path)
        check_target(target, self.taught_from, force=force)
        write_bytes(target, self.content)
        return target


def check_target(target: Path, source: Path | None, *, force: bool) -> None:
    """Refuse the old model's own file, any other that exists, and a name that is not a model's.

    Raises:
        UsageError: it is one of these.
    """
    remedy = "name another file for the new model"
    if target.suffix.lower() != ".onnx":
        name = display_name(target.stem or "model")
        problem = f"{display_name(target)}: a model's file has a name that ends in .onnx"
        raise UsageError(problem, remedy=f"call it {name}.onnx")
    try:
        if source is not None and target.exists() and source.exists() and target.samefile(source):
            raise UsageError(
                f"{target}: this is the model that is fine-tuned, which stays as it is", remedy=remedy
            )
        if os.path.lexists(target) and not force:
            raise UsageError(f"{target} already exists", remedy=f"{remedy}, or add --force (force=True)")
    except (OSError, ValueError) as error:
        raise UsageError(f"{target}: no file can be called so ({error})", remedy=remedy) from error
