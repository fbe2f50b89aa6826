from __future__ import annotations

import re
import sys

import pytest

from kalamos.datasets.named import describe, names
from kalamos.datasets.named.published import published
from kalamos.errors import MissingExtraError

DOWNLOADED = [name for name in names() if describe(name).torchvision]


@pytest.mark.parametrize("name", DOWNLOADED)
def test_every_download_is_looked_for_where_it_goes(name: str) -> None:
    pytest.importorskip("torchvision", reason="needs the extra 'train'")
    entry = describe(name)
    dataset, folder = entry.torchvision
    resources = published(dataset)
    for resource in resources:
        assert re.fullmatch("[0-9a-f]{32}", resource.md5)
        assert all(re.fullmatch(rf"https?://.+/{re.escape(resource.file)}", url) for url in resource.urls)
    files = {resource.file.removesuffix(".gz") for resource in resources}
    assert any(files == set(layout.files) and folder in layout.folders for layout in entry.layouts)


def test_mnist_has_two_mirrors() -> None:
    pytest.importorskip("torchvision", reason="needs the extra 'train'")
    assert [len(resource.urls) for resource in published("MNIST")] == [2] * 4


def test_without_torchvision_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    sys.path_importer_cache.clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'kalamos\[train\]'"):
        published("MNIST")
