"""When to trust a field: wrong answers against answers, for the rule of `kalamos.forms` and for others.

Usage: python benchmarks/decoding.py [--fields 20000] [--seed 0]
Simulates fields of eight digits: numbers with a Luhn digit, dates, and numbers without a check. A digit is
evidence with Gaussian noise, from which the exact posterior follows: a recogniser that is calibrated. Few
digits are hard, so that 99.3 % are right. The other two recognisers are that one, twice as sure as it should
be, and that one with 0.15 % of its answers exchanged for another digit's, just as sure. One writer in 200
writes a number with a wrong digit; whoever copies it as written is right. Prints tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.forms.checks import find_check
from kalamos.forms.decoding import (
    CHECK_DIGIT_CERTAINTY,
    DEFAULT_CERTAINTY,
    DEFAULT_THRESHOLD,
    BoxReading,
    decode,
)

DIGITS = "0123456789"
BOXES = 8
HARD_SHARE, HARD_DISTANCE, EASY_DISTANCE = 0.018, 2.0, 5.4
"""Of the digits, the part that is hard to tell; the evidence for the right digit, in standard deviations."""
OVERCONFIDENCE, SURE_MISTAKES, SLIPS = 2.0, 0.0015, 0.005

FIRST_DAY, DAYS = date(1940, 1, 1), 30_000

RULES = (
    *((DEFAULT_THRESHOLD, least) for least in (0.9, CHECK_DIGIT_CERTAINTY, DEFAULT_CERTAINTY, 0.99, 0.995)),
    *((share, CHECK_DIGIT_CERTAINTY) for share in (0.02, 0.05, 0.2, 0.3, 0.5, 0.7, 0.9)),
)
"""Least share and least certainty."""


class Outcome(NamedTuple):
    """What was decoded of each of N fields, float64 [N] and bool [N]."""

    share: NDArray[np.float64]
    certainty: NDArray[np.float64]
    rival: NDArray[np.float64]
    right: NDArray[np.bool_]

    def at(self, trusted: NDArray[np.bool_]) -> str:
        wrong = int((~self.right[trusted]).sum())
        return f"{trusted.mean():8.2%} {wrong / max(trusted.sum(), 1):9.3%} {wrong:6d}"


def luhn_number(random: np.random.Generator) -> str:
    passes = find_check("luhn")
    first = "".join(random.choice(list(DIGITS), BOXES - 1))
    return next(first + last for last in DIGITS if passes(first + last))


def any_number(random: np.random.Generator) -> str:
    return "".join(random.choice(list(DIGITS), BOXES))


def any_date(random: np.random.Generator) -> str:
    return (FIRST_DAY + timedelta(days=int(random.integers(DAYS)))).strftime("%d%m%Y")


WRITERS: dict[str, tuple[str | None, Callable[[np.random.Generator], str]]] = {
    "Luhn digit": ("luhn", luhn_number),
    "date": ("date", any_date),
    "no check": (None, any_number),
}


def written(draw: Callable[[np.random.Generator], str], random: np.random.Generator) -> str:
    text = draw(random)
    if random.random() < SLIPS:
        place, other = int(random.integers(BOXES)), int(random.integers(1, 10))
        text = f"{text[:place]}{(int(text[place]) + other) % 10}{text[place + 1 :]}"
    return text


def read(recogniser: str, digits: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float64]:
    """Digits [N] -> probabilities float64 [N, 10]."""
    count = len(digits)
    distance = np.where(random.random(count) < HARD_SHARE, HARD_DISTANCE, EASY_DISTANCE)
    seen = digits
    if recogniser == "sure mistakes":
        wrong = random.random(count) < SURE_MISTAKES
        seen = np.where(wrong, (digits + random.integers(1, 10, count)) % 10, digits)
        distance = np.where(wrong, EASY_DISTANCE, distance)
    evidence = random.standard_normal((count, 10))
    evidence[np.arange(count), seen] += distance
    # The logarithm of the posterior: the likelihoods' quotients of two normal distributions.
    logits = evidence * distance[:, np.newaxis]
    if recogniser == "overconfident":
        logits *= OVERCONFIDENCE
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def simulate(kind: str, recogniser: str, fields: int, random: np.random.Generator) -> Outcome:
    check, draw = WRITERS[kind]
    texts = [written(draw, random) for _ in range(fields)]
    digits = np.array([[int(each) for each in text] for text in texts])
    probabilities = read(recogniser, digits.ravel(), random).reshape(fields, BOXES, 10)
    digits_right = (probabilities.argmax(axis=2) == digits).mean()
    rows = []
    for text, boxes in zip(texts, probabilities.tolist(), strict=True):
        readings = [BoxReading(dict(zip(DIGITS, box, strict=True))) for box in boxes]
        start = time.process_time()
        found = decode(readings, pattern="[0-9]{8}", check=check)
        elapsed = 1e6 * (time.process_time() - start)
        rival = found.runners_up[0][1] if found.runners_up else 0.0
        rows.append((found.probability, found.certainty, rival, found.text == text, elapsed))
    share, certainty, rival, right, elapsed = np.array(rows, np.float64).T
    print(f"\n{kind}, {recogniser}: {digits_right:.2%} of the digits right, {right.mean():.2%} of the texts; "
          f"{np.median(elapsed):.0f} us a field, {elapsed.max() / 1000:.0f} ms at most")  # fmt: skip
    return Outcome(share, certainty, rival, right == 1)


def show(found: Outcome, needed: float) -> None:
    """Print what each rule trusts, and others beside that which needs a certainty of `needed`."""
    print("  share  certainty       ok     wrong")
    for threshold, least in RULES:
        trusted = (found.share >= threshold) & (found.certainty >= least)
        print(f"  {threshold:5.2f}      {least:5.3f} {found.at(trusted)}")
    # Other rules, each at the threshold that trusts as many fields.
    wanted = int(((found.share >= DEFAULT_THRESHOLD) & (found.certainty >= needed)).sum())
    satisfying = found.share + found.rival
    others = {
        "certainty alone": found.certainty,
        "share alone": found.share,
        "share less the second's": found.share - found.rival,
        "share among those that satisfy": found.share / np.maximum(satisfying, 1e-300),
    }
    for name, score in others.items():
        trusted = np.zeros(len(score), np.bool_)
        trusted[np.argsort(-score, kind="stable")[:wanted]] = True
        print(f"  {name:31s} at {score[trusted].min():.3f}: {found.at(trusted)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fields", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for kind in WRITERS:
        for recogniser in ("calibrated", "overconfident", "sure mistakes"):
            found = simulate(kind, recogniser, options.fields, np.random.default_rng(options.seed))
            show(found, CHECK_DIGIT_CERTAINTY if kind == "Luhn digit" else DEFAULT_CERTAINTY)


if __name__ == "__main__":
    main()
