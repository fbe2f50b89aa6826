"""Few-shot fine-tuning without PyTorch: new classes and new hands.

What a model knows of held-back examples.

Teach a model what a few examples show, and measure what that did.

Fine-tune a model on a few examples, on a CPU and without PyTorch.

```
examples ─ variations ─ graph (embeddings) ─┐
                                            ├─ fitting ─ lesson ─ graph (new last layer) ─ .onnx
graph (old last layer) ─ memory (replay) ───┘
```
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, RaggedImages, SkippedFile, Split, stratified_split
from kalamos.errors import DatasetError, ExportError, ModelFileError, NoInkError, UsageError, renamed
from kalamos.finetune.examples import Examples, load_examples, variations
from kalamos.finetune.head import Backbone, Head, fit_head, split_model, with_head
from kalamos.finetune.replay import (
    EMBEDDING_STATS_KEY,
    EmbeddingStats,
    decode_embedding_stats,
    encode_embedding_stats,
    implied_embedding_stats,
)
from kalamos.images.files import display_name
from kalamos.model_file import METADATA_KEY, ModelSpec, TrainingRecord, open_model
from kalamos.model_file.spec import NOT_STATED
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer
from kalamos.utils.atomic_write import write_bytes

__all__ = ["Examples", "FineTuned", "Score", "fine_tune", "load_examples"]


@dataclass(frozen=True)
class Score:
    """Right answers on held-back examples; `known` are those of the labels that the old model has.

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
        """In [0, 1]; None where nothing was held back."""
        return (self.known_right + self.new_right) / self.n if self.n else None

    @property
    def known_accuracy(self) -> float | None:
        return self.known_right / self.known_n if self.known_n else None

    @property
    def new_accuracy(self) -> float | None:
        return self.new_right / self.new_n if self.new_n else None


VARIATIONS_PER_EXAMPLE = 8
"""Of each example, beside itself."""

REPLAYED_PER_CLASS = 50
"""Embeddings of each old class that are drawn from the memory."""

NEW_CLASS_MARGIN_LOGITS = 0.5
"""By which a new class has to be ahead of an old one, in logits at temperature 1: whoever teaches a letter
does not want to lose others for it. Chosen on validation writers, see docs/teaching.md.
"""

MAX_RELATIVE_LOGIT_DIFFERENCE = 1e-3
"""Largest difference of a logit of the file's from that in float64, relative to the largest logit."""


@dataclass(frozen=True)
class FineTuned:
    """A taught model, not yet on disk.

    Attributes:
        spec: what its file will say of it.
        content: the file.
        before: the old model on the examples that were held back; it knows no new label.
        after: a model taught with the others, on the same. The model in `content` has then learnt from all.
        new_labels: which the old model did not have, in the order of the outputs.
        n: examples learnt from.
        problems: examples that were passed over.
        taught_from: the old model's file; None where it came as bytes.
    """

    spec: ModelSpec
    content: bytes
    before: Score
    after: Score
    new_labels: tuple[str, ...]
    n: int
    problems: tuple[SkippedFile, ...]
    taught_from: Path | None

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, the old ones first."""
        return self.spec.alphabet.labels

    def recognizer(self) -> Recognizer:
        """The taught model, ready to read."""
        return Recognizer(open_model(self.content))

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the new model file; the old one stays as it is.

        Args:
            force: whether a file that is there already may be replaced.

        Raises:
            UsageError: `path` is the old model, is there already, or does not end in `.onnx`.
            OutputError: it cannot be written.
        """
        target = Path(path)
        check_target(target, self.taught_from, force=force)
        write_bytes(target, self.content)
        return target


def fine_tune(
    reader: Recognizer | str | os.PathLike[str] | bytes,
    examples: Examples | Dataset,
    *,
    name: str | None = None,
    holdout: float = 0.2,
    seed: int = 42,
    licence: str = NOT_STATED,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FineTuned:
    """Fit a model's last layer to examples of labels that it has, and of new ones. Seconds, on one core.

    Rows of the layer for labels without examples stay as they are, so that what the model says of those
    classes changes only where a taught class says more. Old classes are held by embeddings that the
    model's memory draws, see `kalamos.finetune.replay`.

    Args:
        reader: a recogniser that was opened from a file, or the file, or its content.
        examples: at least one; a `Dataset` stands for its training images.
        name: what the new model calls itself; by default the old one's name and "-taught".
        holdout: the share of each label's examples that is held back to measure on, in [0, 1). A label
            with a single example holds back nothing.
        seed: of the choice of the held-back ones, the variations and the embeddings drawn.
        licence: of the new model, an SPDX identifier; unless one is chosen, none is stated, and the old
            model's is only noted.
        on_progress: called with the share of the work that is done, in [0, 1].

    Raises:
        DatasetError: no example has any ink.
        AlphabetError: a label that no alphabet can have.
        ModelError: the model cannot be taught: not a kalamos model, or without a dense last layer.
        UsageError: a holdout out of range.
        MissingExtraError: the package `onnx` is not installed.
        ExportError: the new file answers otherwise than what was learnt.
    """
    if not 0 <= holdout < 1:
        raise UsageError(f"a holdout of {holdout:g} is not in [0, 1)", remedy="0.2 holds back a fifth")
    content, where, path = _content(reader)
    spec = open_model(content).spec
    backbone, head = split_model(content, spec, where)
    memory = decode_embedding_stats(content, head, where)
    given = examples if isinstance(examples, Examples) else Examples.of_dataset(examples)
    preprocessor = Preprocessor(spec.preprocessing)
    images, texts, problems = _prepared(given, preprocessor)
    known = spec.alphabet
    strangers = tuple(dict.fromkeys(text for text in texts if text not in known))
    labels = (*known.labels, *strangers)
    alphabet = Alphabet(known.name if not strangers else f"{known.name}+{len(strangers)}", labels)
    codes = np.array([alphabet.index(text) for text in texts], np.int64)
    generator = np.random.default_rng(seed)
    lessons = _embedded(backbone, preprocessor, images, generator, on_progress)
    learner = _HeadLearner(head, memory, spec.temperature, seed)
    train, held = np.arange(len(codes)), np.zeros(0, np.int64)
    if holdout:
        train, held = stratified_split(codes, holdout, seed)
    tried, _ = learner.learn(lessons[train], codes[train], len(labels)) if len(held) else (head, None)
    taught, remembered = learner.learn(lessons, codes, len(labels))
    on_progress(1.0)
    record = _record(spec, given, images, codes, hashlib.sha256(content).hexdigest(), seed)
    new_spec = replace(
        spec,
        name=name if name is not None else f"{spec.name}-taught",
        parameters=spec.parameters + len(strangers) * (head.weight.shape[1] + 1),
        alphabet=alphabet,
        training=record,
        # Measured with the old model, and not true of this one.
        metrics=(),
        quantisation=None,
        selective=None,
        robustness=(),
        licence=licence,
        kalamos_version=__version__,
        created=record.date,
    )
    metadata = {METADATA_KEY: new_spec.to_json()}
    if remembered is not None:
        metadata[EMBEDDING_STATS_KEY] = encode_embedding_stats(remembered)
    written = with_head(content, taught, metadata, where)
    _check(written, taught, lessons[:, 0], preprocessor.batch(images))
    return FineTuned(
        spec=new_spec,
        content=written,
        before=_score(head, lessons[held, 0], codes[held], len(known)),
        after=_score(tried, lessons[held, 0], codes[held], len(known)),
        new_labels=strangers,
        n=len(codes),
        problems=(*given.problems, *problems),
        taught_from=path,
    )


def check_target(target: Path, source: Path | None, *, force: bool) -> None:
    """Refuse the old model's own file, any other that is there already, and a name that is no model's.

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
                f"{target}: this is the model that is taught, which stays as it is", remedy=remedy
            )
        if os.path.lexists(target) and not force:
            raise UsageError(f"{target}: is there already", remedy=f"{remedy}, or add --force (force=True)")
    except (OSError, ValueError) as error:
        raise UsageError(f"{target}: no file can be called so ({error})", remedy=remedy) from error


@dataclass(frozen=True)
class _HeadLearner:
    """What learns: a head, with what it knows of its classes."""

    head: Head
    memory: EmbeddingStats | None
    temperature: float
    seed: int

    def learn(
        self, lessons: NDArray[np.float32], codes: NDArray[np.int64], classes: int
    ) -> tuple[Head, EmbeddingStats | None]:
        """A head of that many classes, and a memory of them where there was one.

        Args:
            lessons: embeddings float32 [N, 1 + K, D], of each example and its K variations.
            codes: int64 [N].
        """
        old, size = self.head.weight.shape
        every, repeated = lessons.reshape(-1, size), np.repeat(codes, lessons.shape[1])
        memory = self.memory or implied_embedding_stats(self.head, every, repeated)
        means = {
            code: lessons[codes == code, 0].mean(axis=0) for code in range(old, classes) if code in codes
        }
        # Begun where the class's mean is (imprinting; Qi, Brown and Lowe 2018).
        start = _imprinted(self.head, memory, means, classes)
        replayed = memory.draw(REPLAYED_PER_CLASS, np.random.default_rng(self.seed))
        embeddings = np.concatenate([every, replayed])
        labels = np.concatenate([repeated, np.repeat(np.arange(old), REPLAYED_PER_CLASS)])
        # Each class weighs as much, whatever the number of its examples; so does each of those remembered.
        shares = 1 / np.bincount(repeated)[repeated]
        weights = np.concatenate([shares, np.full(len(replayed), 1 / REPLAYED_PER_CLASS)])
        trainable = np.isin(np.arange(classes), codes)
        learnt = fit_head(
            start, embeddings, labels, weights, trainable=trainable, temperature=self.temperature
        )
        if self.memory is None:
            return _cautious(learnt, every, repeated, old), None
        if not means:
            return learnt, self.memory
        behind = np.where(np.arange(classes) < old, 0.0, NEW_CLASS_MARGIN_LOGITS * self.temperature)
        learnt = Head(learnt.weight, learnt.bias - behind)
        rows = [means.get(code, memory.means.mean(axis=0)) for code in range(old, classes)]
        return learnt, self.memory.extended(np.array(rows, np.float64))


def _imprinted(
    head: Head, memory: EmbeddingStats, means: dict[int, NDArray[np.floating]], classes: int
) -> Head:
    """The head with a row for each new class: as the old classes' rows stand to their means."""
    centre = memory.means.mean(axis=0)
    directions, rows = memory.means - centre, head.weight - head.weight.mean(axis=0)
    size = float((directions * rows).sum() / np.square(directions).sum())
    new = np.zeros((classes - len(head.bias), head.weight.shape[1]))
    for code, mean in means.items():
        new[code - len(head.bias)] = size * (mean - centre)
    # At the centre a new class says what the old ones say on average.
    bias = head.bias.mean() - new @ centre
    return Head(np.vstack([head.weight, head.weight.mean(axis=0) + new]), np.concatenate([head.bias, bias]))


def _cautious(head: Head, embeddings: NDArray[np.float32], codes: NDArray[np.int64], old: int) -> Head:
    """Each new class claims no more than it needs for nine tenths of its own examples and variations.

    What the old classes look like was only guessed, so the boundary goes as near to the new ones as it may.
    """
    bias = head.bias.copy()
    for code in range(old, len(bias)):
        logits = head.logits(embeddings[codes == code])
        if len(logits):
            others = np.delete(logits, code, axis=1).max(axis=1)
            bias[code] -= max(0.0, float(np.quantile(logits[:, code] - others, 0.1)))
    return Head(head.weight, bias)


def _content(reader: Recognizer | str | os.PathLike[str] | bytes) -> tuple[bytes, str, Path | None]:
    """The model file's bytes, what to call it, and where it lies."""
    if isinstance(reader, bytes):
        return reader, "<bytes>", None
    if not isinstance(reader, Recognizer):
        from kalamos.recognizer import load

        reader = load(reader)
    opened = reader.model
    path = Path(opened.where)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{opened.where}: its file cannot be read again ({getattr(error, 'strerror', None) or error})",
            remedy="give fine_tune() the model's path or its content",
        ) from error
    if hashlib.sha256(content).hexdigest() != opened.sha256:
        raise ModelFileError(
            f"{opened.where}: the file has changed since it was opened", remedy="load it again"
        )
    return content, opened.where, path


def _prepared(
    examples: Examples, preprocessor: Preprocessor
) -> tuple[list[GreyImage], list[str], list[SkippedFile]]:
    """The examples as the network sees them; blank ones become problems."""
    inked, images = preprocessor.images_with_ink(list(examples.images))
    texts = [examples.labels[row] for row in inked]
    problems = []
    for row in sorted(set(range(len(examples.labels))) - set(inked)):
        unnamed = f"{examples.name}[{row}], {examples.labels[row]}"
        where = unnamed if examples.names is None else display_name(examples.names[row])
        problems.append(SkippedFile(where, NoInkError.summary))
    if not images:
        raise DatasetError(
            f"{examples.name}: no example has any ink on it", remedy="give at least one image of a character"
        )
    return images, texts, problems


def _embedded(
    backbone: Backbone,
    preprocessor: Preprocessor,
    images: list[GreyImage],
    generator: np.random.Generator,
    on_progress: Callable[[float], None],
) -> NDArray[np.float32]:
    """Embeddings float32 [N, 1 + K, D], of each image and its K variations."""
    found = []
    for place, image in enumerate(images):
        family = [image, *variations(image, VARIATIONS_PER_EXAMPLE, generator)]
        found.append(backbone.embeddings(preprocessor.batch(family)))
        on_progress(0.9 * (place + 1) / len(images))
    return np.stack(found)


def _record(
    spec: ModelSpec,
    examples: Examples,
    images: list[GreyImage],
    codes: NDArray[np.int64],
    sha256: str,
    seed: int,
) -> TrainingRecord:
    before = spec.training
    return TrainingRecord(
        dataset=examples.name,
        split="all",
        n=len(images),
        sha256=Split(RaggedImages.of(images), codes).sha256,
        recipe={
            "taught": {
                "model": spec.name,
                "sha256": sha256,
                "licence": spec.licence,
                "variations": VARIATIONS_PER_EXAMPLE,
                "replayed": REPLAYED_PER_CLASS,
            },
            "before": None if before is None else asdict(before),
        },
        seed=seed,
        date=datetime.now(UTC).date().isoformat(),
        torch="not used" if before is None else before.torch,
    )


def _score(head: Head, embeddings: NDArray[np.float32], codes: NDArray[np.int64], known: int) -> Score:
    right = head.logits(embeddings).argmax(axis=1) == codes
    old = codes < known
    return Score(int(right[old].sum()), int(old.sum()), int(right[~old].sum()), int((~old).sum()))


def _check(content: bytes, head: Head, embeddings: NDArray[np.float32], batch: NDArray[np.float32]) -> None:
    """The gate: the file has to say what was learnt."""
    model = open_model(content)
    shown = slice(0, 64)
    answered = model.logits(batch[shown])
    expected = head.logits(embeddings[shown])
    difference = float(np.abs(answered - expected).max())
    if not difference <= MAX_RELATIVE_LOGIT_DIFFERENCE * max(1.0, float(np.abs(expected).max())):
        raise ExportError(f"the new model file differs from what was learnt by {difference:.2g}")


__getattr__ = renamed(__name__, {"Lesson": "FineTuned", "teach": "fine_tune"})
