"""Teach an alphabet of one's own: a model of the examples' classes alone, from one example a class upward."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.alphabets import Alphabet
from kalamos.errors import UsageError
from kalamos.evaluation.calibration import fit_known, fit_temperature
from kalamos.finetune.examples import Examples
from kalamos.finetune.from_fonts import FONTS
from kalamos.finetune.head import Head, split_model, with_head
from kalamos.finetune.prototypes import (
    HeldOut,
    directions_of,
    fit_alphabet,
    leave_hands_out,
    other_characters,
    unlike,
)
from kalamos.finetune.replay import EMBEDDING_STATS_KEY, encode_embedding_stats, fit_embedding_stats
from kalamos.finetune.steps import (
    GLYPHS_ARCHITECTURE,
    check_answers,
    copies_note,
    embed_examples,
    example_sets,
    find_suspects,
    prepare_examples,
    record_training,
)
from kalamos.finetune.tuned import Expected, FineTuned, Sample, Score
from kalamos.inputs.files import natural_order
from kalamos.model_file import METADATA_KEY, KnownRecord, ModelSpec, open_model
from kalamos.model_file.spec import MIN_TEMPERATURE_IMAGES, bound_temperature
from kalamos.parallel import on_one_blas_thread
from kalamos.preprocessing import Preprocessor

__all__ = ["teach_alphabet"]

EMBEDDED: Final = 3_300
"""Embeddings that a teaching is to take at most, examples and variations, some 2 s of one core. More read
no better: six variations of each of ten examples do as well as twelve, which fewer examples still have."""

MOST_VARIATIONS, FEWEST_VARIATIONS = 12, 1
"""Of an example."""

CALIBRATED: Final = (
    (0, 1.01, 11.29),
    (1, 1.22, 11.87),
    (3, 0.83, 14.27),
    (5, 0.69, 15.04),
    (10, 0.57, 15.90),
)
"""(examples a class, temperature, the `known` output that one in a hundred of unseen hands is below), of the
development alphabets (`benchmarks/alphabets.py --calibrate`; 0: fonts alone); taken where an alphabet has too
few hands to be measured by itself."""

GLYPHS_LENGTH: Final = 24.0
"""Of the embeddings of `glyphs`, for which those temperatures hold."""

MAX_OWN_WITHHELD: Final = 0.01
"""The share of an alphabet's own characters that its threshold for `known` may withhold. Twice that of the
shipped models: what is foreign to an alphabet of one's own is most of what there is."""

ALIKE_COSINE: Final = 0.8
"""Classes whose directions have at least this cosine look alike."""

SHOWN: Final = 10
"""Confused pairs and weak classes that are kept."""

MIN_KNOWN_EXAMPLES: Final = 2
"""Held-out examples from which `known` can be calibrated at all."""


@on_one_blas_thread
def teach_alphabet(
    content: bytes,
    examples: Examples,
    *,
    where: str,
    path: Path | None,
    name: str | None,
    seed: int,
    licence: str,
    on_progress: Callable[[float], None],
) -> FineTuned:
    """Make a model of the examples' classes alone out of a model's embedding.

    Args:
        content: the model file; of `glyphs`, or of any other.
        where: what to call it in messages.
        path: where it lies; None if it came as bytes.

    Raises:
        UsageError: the examples are of a single class.
        DatasetError: none of them has any ink.
    """
    spec = open_model(content).spec
    embedding, old = split_model(content, spec, where)
    preprocessor = Preprocessor(spec.preprocessing)
    images, rows, problems = prepare_examples(examples, preprocessor)
    labels = tuple(sorted({examples.labels[row] for row in rows}, key=natural_order))
    if len(labels) < 2:
        raise UsageError(
            f"{examples.name}: one class alone, {labels[0]!r}, leaves nothing to tell apart",
            remedy="give a second class, or add this one to a model that has others (without --only)",
        )
    index = {label: code for code, label in enumerate(labels)}
    codes = np.array([index[examples.labels[row]] for row in rows], np.int64)
    groups = None if examples.groups is None else [examples.groups[row] for row in rows]
    count = int(np.clip(EMBEDDED // len(codes) - 1, FEWEST_VARIATIONS, MOST_VARIATIONS))
    generator = np.random.default_rng(seed)
    embedded = embed_examples(embedding, preprocessor, images, count, generator, on_progress)
    head = fit_alphabet(embedded, codes, len(labels))
    held = None
    if groups is not None and examples.grouped_by != FONTS:
        _, hands = np.unique(groups, return_inverse=True)
        sets = example_sets(examples, rows)
        held = leave_hands_out(embedded, codes, hands.astype(np.int64), len(labels), seed, sets)
    expected = _expected(held, codes, labels, examples.grouped_by)
    # No hand taught what fonts drew.
    samples = 0.0 if examples.grouped_by == FONTS else len(codes) / len(labels)
    temperature = _temperature(held, codes, samples, embedded)
    known = _known(spec, held, head, embedded, samples)
    on_progress(1.0)
    how: Mapping[str, object] = {
        "only": True,
        "variations": count,
        "held_out": expected.n,
        "from_fonts": examples.grouped_by == FONTS,
    }
    record = record_training(spec, examples, images, codes, hashlib.sha256(content).hexdigest(), seed, how)
    new_spec = replace(
        spec,
        name=name if name is not None else f"{spec.name}-taught",
        parameters=spec.parameters + head.weight.size + head.bias.size - old.weight.size - old.bias.size,
        alphabet=Alphabet(examples.name, labels),
        temperature=temperature,
        training=record,
        metrics=(),
        quantisation=None,
        selective=None,
        known=known,
        robustness=(),
        licence=licence,
        kalamos_version=__version__,
        created=record.date,
    )
    stats = fit_embedding_stats(
        embedded.reshape(-1, embedded.shape[2]), np.repeat(codes, embedded.shape[1]), len(labels)
    )
    metadata = {METADATA_KEY: new_spec.to_json(), EMBEDDING_STATS_KEY: encode_embedding_stats(stats)}
    written = with_head(content, head, metadata, where, known=known is not None)
    check_answers(written, head, embedded[:, 0], preprocessor.batch(images[:64]))
    nothing = Score(0, 0, 0, 0)
    return FineTuned(
        spec=new_spec,
        content=written,
        before=nothing,
        after=nothing if expected.n == 0 else Score(0, 0, expected.right, expected.n),
        new_labels=labels,
        n=len(codes),
        problems=(*examples.problems, *problems),
        taught_from=path,
        expected=expected,
        look_alikes=_look_alikes(head, labels),
        samples=tuple(
            Sample(examples.labels[row], image, answer, "" if examples.names is None else examples.names[row])
            for row, image, answer in zip(rows, images, _answers(held, len(rows), labels), strict=True)
        ),
        # What fonts drew is what it is said to be.
        suspects=()
        if examples.grouped_by == FONTS
        else find_suspects(examples, rows, embedded[:, 0], [examples.labels[row] for row in rows]),
        notes=(*(() if held is None else copies_note(held.copies)), *_confidence_note(spec, held)),
    )


def _answers(held: HeldOut | None, n: int, labels: tuple[str, ...]) -> list[str | None]:
    """What was read of each example when its hand was left out."""
    answers: list[str | None] = [None] * n
    if held is not None:
        for row, code in zip(held.rows.tolist(), held.logits.argmax(axis=1).tolist(), strict=True):
            answers[row] = labels[code]
    return answers


def _look_alikes(head: Head, labels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The pairs of classes that are nearest to each other, the nearest first."""
    directions = directions_of(head.weight)
    cosines = np.triu(directions @ directions.T, 1)
    pairs = np.argwhere(cosines >= ALIKE_COSINE).tolist()
    pairs.sort(key=lambda pair: -cosines[pair[0], pair[1]])
    return tuple((labels[a], labels[b]) for a, b in pairs[:SHOWN])


def _expected(
    held: HeldOut | None, codes: NDArray[np.int64], labels: tuple[str, ...], grouped_by: str
) -> Expected:
    if held is None:
        return Expected(0, 0, 0, grouped_by)
    truth, answers = codes[held.rows], held.logits.argmax(axis=1)
    right = truth == answers
    pairs = Counter(zip(truth[~right].tolist(), answers[~right].tolist(), strict=True))
    confused = tuple((labels[a], labels[b], n) for (a, b), n in pairs.most_common(SHOWN))
    shares = [
        (labels[code], int(right[truth == code].sum()), int((truth == code).sum()))
        for code in np.unique(truth[~right]).tolist()
    ]
    weak = tuple(sorted(shares, key=lambda each: each[1] / each[2])[:SHOWN])
    return Expected(int(right.sum()), len(right), held.hands, grouped_by, confused, weak)


def _temperature(
    held: HeldOut | None, codes: NDArray[np.int64], samples: float, embedded: NDArray[np.float32]
) -> float:
    """Fit it to hands that were left out; take the shipped one where they are too few."""
    if _is_measured(held):
        finite = np.where(np.isfinite(held.logits), held.logits, held.logits[np.isfinite(held.logits)].min())
        return bound_temperature(fit_temperature(finite, codes[held.rows]), len(held.rows))
    # Logits are cosines times the embeddings' length, which other models have another of.
    length = float(np.median(np.linalg.norm(embedded[:, 0], axis=1)))
    return bound_temperature(_calibrated(samples)[0] * length / GLYPHS_LENGTH, MIN_TEMPERATURE_IMAGES)


def _is_measured(held: HeldOut | None) -> TypeGuard[HeldOut]:
    """Whether so much was held out that confidences are calibrated by it."""
    return held is not None and len(held.rows) >= MIN_TEMPERATURE_IMAGES


def _confidence_note(spec: ModelSpec, held: HeldOut | None) -> tuple[str, ...]:
    if spec.architecture == GLYPHS_ARCHITECTURE or _is_measured(held):
        return ()
    return (
        f"its confidences are not measured for this model, but guessed after those of glyphs: that takes "
        f"{MIN_TEMPERATURE_IMAGES} examples by three hands or more",
    )


def _calibrated(samples: float) -> tuple[float, float]:
    """Return the shipped temperature and `known` output for so many examples a class."""
    counts, temperatures, lowest = zip(*CALIBRATED, strict=True)
    return float(np.interp(samples, counts, temperatures)), float(np.interp(samples, counts, lowest))


def _known(
    spec: ModelSpec, held: HeldOut | None, head: Head, embedded: NDArray[np.float32], samples: float
) -> KnownRecord | None:
    """Calibrate whether an image is one of the classes: by hands left out, else by what is shipped.

    Without the embedding of `glyphs` nothing is known of other characters.
    """
    if spec.architecture != GLYPHS_ARCHITECTURE:
        return None
    others = unlike(head, other_characters())
    if not len(others):
        return None
    if held is not None and len(held.rows) >= MIN_KNOWN_EXAMPLES:
        mine = held.logits.max(axis=1)
    else:
        mine = head.logits(embedded[:, 1:].reshape(-1, embedded.shape[2])).max(axis=1)
        # Variations of what was learnt are read too well: unseen hands are known less, as much as elsewhere.
        mine += _calibrated(samples)[1] - np.quantile(mine, MAX_OWN_WITHHELD)
    return fit_known(mine, head.logits(others).max(axis=1), MAX_OWN_WITHHELD)
