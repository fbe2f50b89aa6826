"""What the shell offers after Tab."""

from __future__ import annotations

__all__ = ["complete_datasets", "complete_formats", "complete_models"]


def complete_models(incomplete: str) -> list[str]:
    from kalamos.zoo import names

    return _starting(incomplete, names())


def complete_formats(incomplete: str) -> list[str]:
    from kalamos.writers import FORMATS

    return _starting(incomplete, FORMATS)


def complete_datasets(incomplete: str) -> list[str]:
    from kalamos.datasets import names

    return _starting(incomplete, names())


def _starting(incomplete: str, candidates: tuple[str, ...]) -> list[str]:
    return [candidate for candidate in candidates if candidate.startswith(incomplete)]
