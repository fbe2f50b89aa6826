"""Few-shot fine-tuning without PyTorch: new classes and new hands, in seconds on a CPU.

```
examples ─ variations ─ backbone (embeddings) ─┐
                                               ├─ fit_head ─ FineTuned ─ with_head ─ .onnx
old last layer ─ embedding statistics (replay) ┘
```

`examples` reads and varies the examples, `head` takes a model file apart and fits its last layer, `replay`
draws embeddings for the old classes, and `corrections` keeps corrected images.

>>> import kalamos
>>> tuned = kalamos.fine_tune("digits", "corrections/")  # doctest: +SKIP
>>> tuned.after.accuracy, tuned.save("mine.onnx")  # doctest: +SKIP
(0.94, PosixPath('mine.onnx'))
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

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
from kalamos.model_file import METADATA_KEY, KnownRecord, LoadedModel, ModelSpec, TrainingRecord, open_model
from kalamos.model_file.spec import MAX_WITHHELD, NOT_STATED
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer
from kalamos.utils.atomic_write import write_bytes

__all__ = ["Examples", "FineTuned", "Score", "fine_tune", "load_examples"]


VARIATIONS_PER_EXAMPLE: Final = 8
REPLAYED_PER_CLASS: Final = 50
"""Embeddings drawn for each old class."""

NEW_CLASS_MARGIN_LOGITS: Final = 0.5
"""How far a new class has to be ahead of an old one, in logits at temperature 1: whoever teaches a letter
does not want to lose others for it. Chosen on validation writers, see docs/teaching.md.
"""

MAX_RELATIVE_LOGIT_DIFFERENCE: Final = 1e-3
"""Largest difference between a logit of the file and that in float64, relative to the largest logit."""


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
    """

    spec: ModelSpec
    content: bytes
    before: Score
    after: Score
    new_labels: tuple[str, ...]
    n: int
    problems: tuple[SkippedFile, ...]
    taught_from: Path | None

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


def fine_tune(
    model: Recognizer | str | os.PathLike[str] | bytes,
    examples: Examples | Dataset | str | os.PathLike[str],
    *,
    name: str | None = None,
    holdout: float = 0.2,
    seed: int = 42,
    licence: str = NOT_STATED,
    data_dir: str | os.PathLike[str] | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> FineTuned:
    """Fit a model's last layer to examples of labels that it has, and of new ones. Seconds, on one core.

    Rows of the layer for labels without examples stay as they are, so that the model's answers for those
    classes change only where a fine-tuned class is more probable. Old classes are held by embeddings drawn
    from statistics in the model file, see `kalamos.finetune.replay`.

    Args:
        model: a recognizer opened from a file, or the file, or its content, or a shipped model's name.
        examples: at least one: a folder with one sub-folder per class (a folder of corrections is one), or
            whatever else `kalamos.load_dataset` reads; a `Dataset`, of which the training images are taken;
            or `Examples`.
        name: the new model's name; None takes the old one's with "-taught".
        holdout: the share of each label's examples that is held out to measure on, in [0, 1). A label with a
            single example holds out nothing.
        seed: random seed of the held-out choice, the variations and the replayed embeddings.
        licence: of the new model, an SPDX identifier; by default none is stated, and the old model's is only
            noted.
        data_dir: the folder that holds the named datasets.
        on_progress: called with the share of the work that is done, in [0, 1].

    Raises:
        DatasetError: the examples cannot be read, or none has any ink.
        AlphabetError: a label that no alphabet can have.
        ModelError: the model cannot be fine-tuned: not a kalamos model, or without a dense last layer.
        UsageError: a holdout out of range.
        MissingExtraError: the package `onnx` is not installed.
        ExportError: the new file answers otherwise than the fitted layer.
    """
    if not 0 <= holdout < 1:
        raise UsageError(f"a holdout of {holdout:g} is not in [0, 1)", remedy="0.2 holds back a fifth")
    content, where, path = _content(model)
    model_file = open_model(content)
    spec = model_file.spec
    backbone, head = split_model(content, spec, where)
    stats = decode_embedding_stats(content, head, where)
    if isinstance(examples, str | os.PathLike):
        examples = load_examples(examples, data_dir)
    given = examples if isinstance(examples, Examples) else Examples.of_dataset(examples)
    preprocessor = Preprocessor(spec.preprocessing)
    images, texts, problems = _prepared(given, preprocessor)
    known = spec.alphabet
    new_labels = tuple(dict.fromkeys(text for text in texts if text not in known))
    labels = (*known.labels, *new_labels)
    alphabet = Alphabet(known.name if not new_labels else f"{known.name}+{len(new_labels)}", labels)
    codes = np.array([alphabet.index(text) for text in texts], np.int64)
    generator = np.random.default_rng(seed)
    embedded = _embedded(backbone, preprocessor, images, generator, on_progress)
    learner = _HeadLearner(head, stats, spec.temperature, seed)
    train, held = np.arange(len(codes)), np.zeros(0, np.int64)
    if holdout:
        train, held = stratified_split(codes, holdout, seed)
    tried, _ = learner.learn(embedded[train], codes[train], len(labels)) if len(held) else (head, None)
    taught, new_stats = learner.learn(embedded, codes, len(labels))
    on_progress(1.0)
    record = _record(spec, given, images, codes, hashlib.sha256(content).hexdigest(), seed)
    new_spec = replace(
        spec,
        name=name if name is not None else f"{spec.name}-taught",
        parameters=spec.parameters + len(new_labels) * (head.weight.shape[1] + 1),
        alphabet=alphabet,
        training=record,
        # Measured with the old model, and not true of this one.
        metrics=(),
        quantisation=None,
        selective=None,
        known=_known_record(spec, model_file, preprocessor, images) if not new_labels else None,
        robustness=(),
        licence=licence,
        kalamos_version=__version__,
        created=record.date,
    )
    metadata = {METADATA_KEY: new_spec.to_json()}
    if new_stats is not None:
        metadata[EMBEDDING_STATS_KEY] = encode_embedding_stats(new_stats)
    written = with_head(content, taught, metadata, where)
    _check(written, taught, embedded[:, 0], preprocessor.batch(images))
    return FineTuned(
        spec=new_spec,
        content=written,
        before=_score(head, embedded[held, 0], codes[held], len(known)),
        after=_score(tried, embedded[held, 0], codes[held], len(known)),
        new_labels=new_labels,
        n=len(codes),
        problems=(*given.problems, *problems),
        taught_from=path,
    )


def _known_record(
    spec: ModelSpec, model: LoadedModel, preprocessor: Preprocessor, images: list[GreyImage]
) -> KnownRecord | None:
    """The old model's, with a threshold that hardly any of the examples is below."""
    if spec.known is None:
        return None
    _, known = model.answers(preprocessor.batch(images))
    assert known is not None  # noqa: S101  (the spec has the record)
    lowest = float(np.sort(known)[int(MAX_WITHHELD * len(known))])
    return replace(spec.known, threshold=min(spec.known.threshold, lowest))


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


@dataclass(frozen=True)
class _HeadLearner:
    """What learns: a head, with what it knows of its classes."""

    head: Head
    stats: EmbeddingStats | None
    temperature: float
    seed: int

    def learn(
        self, embedded: NDArray[np.float32], codes: NDArray[np.int64], classes: int
    ) -> tuple[Head, EmbeddingStats | None]:
        """A head of that many classes, and statistics of them if the old head had any.

        Args:
            embedded: embeddings float32 [N, 1 + K, D], of each example and its K variations.
            codes: int64 [N].
        """
        old, size = self.head.weight.shape
        every, repeated = embedded.reshape(-1, size), np.repeat(codes, embedded.shape[1])
        stats = self.stats or implied_embedding_stats(self.head, every, repeated)
        means = {
            code: embedded[codes == code, 0].mean(axis=0) for code in range(old, classes) if code in codes
        }
        # Begun where the class's mean is (imprinting; Qi, Brown and Lowe 2018).
        start = _imprinted(self.head, stats, means, classes)
        replayed = stats.draw(REPLAYED_PER_CLASS, np.random.default_rng(self.seed))
        embeddings = np.concatenate([every, replayed])
        labels = np.concatenate([repeated, np.repeat(np.arange(old), REPLAYED_PER_CLASS)])
        # Each class weighs as much, whatever the number of its examples; so does each replayed one.
        shares = 1 / np.bincount(repeated)[repeated]
        weights = np.concatenate([shares, np.full(len(replayed), 1 / REPLAYED_PER_CLASS)])
        trainable = np.isin(np.arange(classes), codes)
        learnt = fit_head(
            start, embeddings, labels, weights, trainable=trainable, temperature=self.temperature
        )
        if self.stats is None:
            return _cautious(learnt, every, repeated, old), None
        if not means:
            return learnt, self.stats
        behind = np.where(np.arange(classes) < old, 0.0, NEW_CLASS_MARGIN_LOGITS * self.temperature)
        learnt = Head(learnt.weight, learnt.bias - behind)
        rows = [means.get(code, stats.means.mean(axis=0)) for code in range(old, classes)]
        return learnt, self.stats.extended(np.array(rows, np.float64))


def _imprinted(
    head: Head, stats: EmbeddingStats, means: dict[int, NDArray[np.floating]], classes: int
) -> Head:
    """The head with a row for each new class: as the old classes' rows stand to their means."""
    centre = stats.means.mean(axis=0)
    directions, rows = stats.means - centre, head.weight - head.weight.mean(axis=0)
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
