"""What teaching does to a model's own classes: whether examples are of them, and what new ones take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.class_names import list_names
from kalamos.errors import UsageError
from kalamos.finetune.head import Head
from kalamos.finetune.replay import EmbeddingStats

__all__ = ["Existing", "Taken", "ask_about_unlike", "labels_as_new", "measure_taken", "unlike_labels"]

Existing: TypeAlias = Literal["same", "new"]
"""What examples with a label of the model are: of that class, or of a new one."""

Taken: TypeAlias = tuple[str, str, int, int]
"""An old class, the new one that takes most from it, how many embeddings of how many."""

LIKELIEST: Final = 3
"""First answers. Where a model misreads, the right label is among them 8 to 10 times of 10; the label of a
character of another script, 0 to 2 times of 10."""

MIN_ALIKE_SHARE: Final = 0.5
"""Of a label's examples that have it among the model's first answers; with fewer they look otherwise."""

MIN_JUDGED: Final = 3
"""Examples of a label that are judged by themselves; those of labels with fewer are judged together."""

DRAWN_PER_CLASS: Final = 200
"""Embeddings by which an old class's losses are measured."""

MIN_TAKEN_SHARE: Final = 0.02
"""Of an old class's embeddings; losses of less are not listed."""

MAX_LISTED: Final = 10
"""Old classes that are listed."""


def unlike_labels(
    head: Head, embeddings: NDArray[np.float32], codes: NDArray[np.int64], labels: Sequence[str]
) -> tuple[str, ...]:
    """Find the labels of a model whose examples look otherwise than what it knows by them.

    Args:
        head: the model's, of C classes.
        embeddings: [N, D] of examples.
        codes: int64 [N], their classes; those from C on are new, and are left out.
        labels: the model's.

    >>> head = Head(np.eye(5), np.zeros(5))
    >>> shapes = np.eye(5)[[0, 0, 0, 1]] - np.eye(5)[[1, 1, 1, 0]]
    >>> unlike_labels(head, shapes, np.array([1, 1, 1, 1]), "abcde")
    ('b',)
    """
    old = codes < len(head.bias)
    if not old.any() or len(head.bias) <= LIKELIEST:
        return ()
    logits, mine = head.logits(embeddings[old]), codes[old]
    rank = (logits > logits[np.arange(len(mine)), mine][:, np.newaxis]).sum(axis=1)
    alike = rank < LIKELIEST
    counts = np.bincount(mine, minlength=len(head.bias))
    unlike = [
        code
        for code in np.flatnonzero(counts >= MIN_JUDGED).tolist()
        if alike[mine == code].mean() < MIN_ALIKE_SHARE
    ]
    few = counts[mine] < MIN_JUDGED
    if few.any() and alike[few].mean() < MIN_ALIKE_SHARE:
        unlike += np.unique(mine[few & ~alike]).tolist()
    return tuple(labels[code] for code in sorted(unlike))


def ask_about_unlike(name: str, model: str, unlike: Sequence[str]) -> None:
    """Raise `UsageError` if there are any such labels: only the user knows whether they are the same."""
    if not unlike:
        return
    raise UsageError(
        f"{name}: {model} has these labels already, but the examples look otherwise: {list_names(unlike)}",
        remedy="say what they are: --same teaches them to the classes that there are, --new makes classes of "
        "their own beside those (existing='same' or 'new' in Python)",
    )


def labels_as_new(texts: Sequence[str], known: Sequence[str], name: str) -> tuple[str, ...]:
    """Give texts that are labels of a model already the name of their dataset in brackets.

    >>> labels_as_new(["a", "z"], "abc", "korean")
    ('a (korean)', 'z')
    """
    taken = set(known)

    def free(text: str) -> str:
        renamed, number = f"{text} ({name})", 2
        while renamed in taken:
            renamed, number = f"{text} ({name} {number})", number + 1
        return renamed

    return tuple(free(text) if text in taken else text for text in texts)


def measure_taken(
    before: Head, after: Head, stats: EmbeddingStats, labels: Sequence[str], seed: int
) -> tuple[Taken, ...]:
    """Measure what new classes take from old ones, on embeddings drawn from a model's memory of those.

    Args:
        before: the old head, of C classes.
        after: the new one, whose classes from C on are new.
        stats: of the old classes.
        labels: of all classes.

    Returns:
        The old classes that lose most, the worst first.
    """
    old = len(before.bias)
    truth = np.repeat(np.arange(old), DRAWN_PER_CLASS)
    drawn = stats.draw(DRAWN_PER_CLASS, np.random.default_rng(seed))
    was_right = before.logits(drawn).argmax(axis=1) == truth
    answers = after.logits(drawn).argmax(axis=1)
    found: list[Taken] = []
    for code in range(old):
        mine = answers[(truth == code) & was_right]
        lost = mine[mine >= old]
        if len(lost) >= max(1, MIN_TAKEN_SHARE * len(mine)):
            most = int(np.bincount(lost).argmax())
            found.append((labels[code], labels[most], len(lost), len(mine)))
    return tuple(sorted(found, key=lambda each: -each[2] / each[3])[:MAX_LISTED])
