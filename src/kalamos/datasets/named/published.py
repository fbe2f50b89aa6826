"""Download addresses and checksums of the named datasets, as torchvision publishes them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from kalamos.datasets.download import Resource
from kalamos.errors import MissingExtraError

__all__ = ["published"]


def published(torchvision_class: str) -> tuple[Resource, ...]:
    """Return the files of a class of torchvision.datasets, so that URLs need no upkeep here.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    if not find_spec("torchvision"):
        raise MissingExtraError("addresses and checksums come from torchvision, not installed", extra="train")
    # Imported by name, and only for a download: kalamos reads images without a learning library.
    dataset: Any = getattr(import_module("torchvision.datasets"), torchvision_class)
    if hasattr(dataset, "split_list"):
        return tuple(Resource(file, (url,), md5) for url, file, md5 in dataset.split_list.values())
    if hasattr(dataset, "url"):
        return (Resource(dataset.url.rpartition("/")[2], (dataset.url,), dataset.md5),)
    return tuple(
        Resource(file, tuple(mirror + file for mirror in dataset.mirrors), md5)
        for file, md5 in dataset.resources
    )
