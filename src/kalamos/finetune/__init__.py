"""Few-shot fine-tuning without PyTorch: new classes and new hands, in seconds on a CPU.

```
examples ─ variations ─ embedding ─────────────┐
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.alphabets import BASE_LABELS, Alphabet
from kalamos.datasets import Dataset, stratified_split
from kalamos.errors import UsageError, renamed, require_extra
from kalamos.finetune.examples import Examples, load_examples
from kalamos.finetune.head import MAX_REGRESSION, Head, fit_head, split_model, with_head
from kalamos.finetune.old_classes import (
    Existing,
    ask_about_unlike,
    labels_as_new,
    measure_taken,
    unlike_labels,
)
from kalamos.finetune.replay import (
    EMBEDDING_STATS_KEY,
    EmbeddingStats,
    decode_embedding_stats,
    encode_embedding_stats,
    implied_embedding_stats,
)
from kalamos.finetune.steps import (
    GLYPHS_ARCHITECTURE,
    check_answers,
    embed_examples,
    find_suspects,
    hold_no_copies,
    prepare_examples,
    read_content,
    record_training,
)
from kalamos.finetune.tuned import FineTuned, Score, check_target
from kalamos.model_file import METADATA_KEY, KnownRecord, LoadedModel, open_model
from kalamos.model_file.spec import MAX_WITHHELD, NOT_STATED
from kalamos.parallel import on_one_blas_thread
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer

__all__ = ["Examples", "FineTuned", "Score", "check_target", "fine_tune", "load_examples"]


VARIATIONS_PER_EXAMPLE: Final = 8

MAX_EMBEDDED: Final = 20_000
"""Embeddings that teaching takes at most, as long as each example gets one."""

REPLAYED_PER_CLASS: Final = 50
"""Embeddings drawn for each old class."""

NEW_CLASS_MARGIN_LOGITS: Final = 0.5
"""How far a new class has to be ahead of an old one, in logits at temperature 1: whoever teaches a letter
does not want to lose others for it. Chosen on validation writers, see docs/teaching.md.
"""


def fine_tune(
    model: Recognizer | str | os.PathLike[str] | bytes,
    examples: Examples | Dataset | str | os.PathLike[str],
    *,
    name: str | None = None,
    only: bool = False,
    existing: Existing | None = None,
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

    With the base model `glyphs`, or with `only`, the new model has the classes of the examples alone: a class
    is then where its examples' embeddings are, from one example on (`kalamos.finetune.own_alphabet`).

    Args:
        model: a recognizer opened from a file, or the file, or its content, or a shipped model's name.
        examples: at least one: a folder with one sub-folder per class (a folder of corrections is one), or
            whatever else `kalamos.load_dataset` reads; a `Dataset`, of which the training images are taken;
            or `Examples`.
        name: the new model's name; None takes the old one's with "-taught".
        only: leave the old classes out.
        existing: what examples with a label of the model are: `same`, or `new`, and then of a class with the
            dataset's name in its label; None takes them for the same where they look so, else asks.
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
        UsageError: a holdout out of range; or examples that have a label of the model look otherwise, and
            `existing` does not say what they are.
        MissingExtraError: `kalamos[teach]` is not installed.
        ExportError: the new file answers otherwise than the fitted layer.
    """
    if not 0 <= holdout < 1:
        raise UsageError(f"a holdout of {holdout:g} is not in [0, 1)", remedy="0.2 holds back a fifth")
    require_extra("teach", ("onnx", "scipy", "threadpoolctl"), what="teaching")
    content, where, path = read_content(model)
    if isinstance(examples, str | os.PathLike):
        examples = load_examples(examples, data_dir)
    given = examples if isinstance(examples, Examples) else Examples.of_dataset(examples)
    model_file = open_model(content)
    spec = model_file.spec
    if only or spec.alphabet.labels == BASE_LABELS:
        from kalamos.finetune.own_alphabet import teach_alphabet

        return teach_alphabet(
            content,
            given,
            where=where,
            path=path,
            name=name,
            seed=seed,
            licence=licence,
            on_progress=on_progress,
        )
    embedding, head = split_model(content, spec, where)
    stats = decode_embedding_stats(content, head, where)
    preprocessor = Preprocessor(spec.preprocessing)
    images, rows, problems = prepare_examples(given, preprocessor)
    known = spec.alphabet
    texts: Sequence[str] = [given.labels[row] for row in rows]
    if existing == "new":
        texts = labels_as_new(texts, known.labels, given.name)
    new_labels = tuple(dict.fromkeys(text for text in texts if text not in known))
    labels = (*known.labels, *new_labels)
    alphabet = Alphabet(known.name if not new_labels else f"{known.name}+{len(new_labels)}", labels)
    codes = np.array([alphabet.index(text) for text in texts], np.int64)
    generator = np.random.default_rng(seed)
    count = min(VARIATIONS_PER_EXAMPLE, max(0, MAX_EMBEDDED // len(codes) - 1))
    embedded = embed_examples(embedding, preprocessor, images, count, generator, on_progress)
    if existing is None:
        ask_about_unlike(given.name, spec.name, unlike_labels(head, embedded[:, 0], codes, known.labels))
    learner = _HeadLearner(head, stats, spec.temperature, seed)
    train, held = np.arange(len(codes)), np.zeros(0, np.int64)
    notes: tuple[str, ...] = ()
    if holdout:
        train, held = stratified_split(codes, holdout, seed)
        held, notes = hold_no_copies(given, rows, train, held)
    tried, _ = learner.learn(embedded[train], codes[train], len(labels)) if len(held) else (head, None)
    taught, new_stats = learner.learn(embedded, codes, len(labels))
    on_progress(1.0)
    how = {"variations": count, "replayed": REPLAYED_PER_CLASS}
    record = record_training(spec, given, images, codes, hashlib.sha256(content).hexdigest(), seed, how)
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
        known=_known_record(model_file, preprocessor, images, taught, embedded[:, 0], new=bool(new_labels)),
        robustness=(),
        licence=licence,
        kalamos_version=__version__,
        created=record.date,
    )
    metadata = {METADATA_KEY: new_spec.to_json()}
    if new_stats is not None:
        metadata[EMBEDDING_STATS_KEY] = encode_embedding_stats(new_stats)
    written = with_head(content, taught, metadata, where)
    check_answers(written, taught, embedded[:, 0], preprocessor.batch(images))
    return FineTuned(
        spec=new_spec,
        content=written,
        before=_score(head, embedded[held, 0], codes[held], len(known)),
        after=_score(tried, embedded[held, 0], codes[held], len(known)),
        new_labels=new_labels,
        n=len(codes),
        problems=(*given.problems, *problems),
        taught_from=path,
        taken=measure_taken(head, taught, learner.remembered(embedded, codes), labels, seed)
        if new_labels
        else (),
        suspects=find_suspects(given, rows, embedded[:, 0], texts),
        notes=notes,
    )


def _known_record(
    model: LoadedModel,
    preprocessor: Preprocessor,
    images: list[GreyImage],
    taught: Head,
    embeddings: NDArray[np.float32],
    *,
    new: bool,
) -> KnownRecord | None:
    """The old model's, with a threshold that hardly any of the examples is below."""
    record = model.spec.known
    if record is None:
        return None
    if model.spec.architecture == GLYPHS_ARCHITECTURE:
        # There it is the largest logit, and so follows the new classes.
        known = record.probabilities(taught.logits(embeddings).max(axis=1))
    elif new:
        return None  # what tells the old characters from anything else takes new ones for none
    else:
        _, answered = model.answers(preprocessor.batch(images))
        assert answered is not None  # noqa: S101  (the spec has the record)
        known = answered
    lowest = float(np.sort(known)[int(MAX_WITHHELD * len(known))])
    return replace(record, threshold=min(record.threshold, lowest))


@dataclass(frozen=True)
class _HeadLearner:
    """What learns: a head, with what it knows of its classes."""

    head: Head
    stats: EmbeddingStats | None
    temperature: float
    seed: int

    def remembered(self, embedded: NDArray[np.float32], codes: NDArray[np.int64]) -> EmbeddingStats:
        """The statistics of the old classes; where the model has none, what examples [N, 1 + K, D] imply."""
        if self.stats is not None:
            return self.stats
        every = embedded.reshape(-1, embedded.shape[2])
        return implied_embedding_stats(self.head, every, np.repeat(codes, embedded.shape[1]))

    @on_one_blas_thread
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
        stats = self.remembered(embedded, codes)
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
        learnt = start
        if len(embeddings) * classes <= MAX_REGRESSION:
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


def _score(head: Head, embeddings: NDArray[np.float32], codes: NDArray[np.int64], known: int) -> Score:
    right = head.logits(embeddings).argmax(axis=1) == codes
    old = codes < known
    return Score(int(right[old].sum()), int(old.sum()), int(right[~old].sum()), int((~old).sum()))


__getattr__ = renamed(__name__, {"Lesson": "FineTuned", "teach": "fine_tune"})
