"""Argument types with names for Tab completion. They accept anything: wrong names are reported later."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

__all__ = ["ArchitectureName", "AugmentationName", "DatasetName", "FormatName", "ModelName"]


class _Name(click.ParamType[str]):
    def known(self) -> Iterable[str]:
        raise NotImplementedError

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in self.known() if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class ModelName(_Name):
    name = "model"

    def known(self) -> Iterable[str]:
        from kalamos.zoo import names

        return names()


class FormatName(_Name):
    name = "format"

    def known(self) -> Iterable[str]:
        from kalamos.writers import FORMATS

        return FORMATS


class DatasetName(_Name):
    name = "dataset"

    def known(self) -> Iterable[str]:
        from kalamos.datasets import names

        return names()


class ArchitectureName(_Name):
    name = "name"

    def known(self) -> Iterable[str]:
        from kalamos.architectures import ARCHITECTURES

        return ARCHITECTURES.names()


class AugmentationName(_Name):
    name = "name"

    def known(self) -> Iterable[str]:
        from kalamos.training.policy import AUGMENTATIONS

        return AUGMENTATIONS
