"""The training loop of countless tutorials, and of the projects before kalamos, to be measured against.

torchvision's MNIST, a transform an image, a DataLoader, fp32, Adam with a constant rate, batches of 64.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

__all__ = ["accuracies", "images_per_second", "unpack"]

BATCH = 64


def unpack(mnist: Path, root: Path) -> None:
    """Lay the gzipped IDX files out as torchvision wants them: `root/MNIST/raw`, unzipped."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in sorted(mnist.glob("*-ubyte.gz")):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))


def images_per_second(root: Path, network: nn.Module, count: int, *, workers: int = 0) -> float:
    """Over `count` images, after a few batches to warm up."""
    loader = _loader(root, workers, count=count + 8 * BATCH)
    optimizer = torch.optim.Adam(network.parameters())
    network.train()
    done = 0
    for step, (images, labels) in enumerate(loader):
        if step == 8:
            started = time.perf_counter()
        _step(network, optimizer, images, labels)
        done += len(images) if step >= 8 else 0
    return done / (time.perf_counter() - started)


def accuracies(root: Path, network: nn.Module, *, workers: int = 0) -> Iterator[tuple[float, float]]:
    """Train on and on; after each epoch the seconds of training so far, and the test accuracy."""
    loader, test = _loader(root, workers), DataLoader(_images(root, train=False), batch_size=1000)
    optimizer = torch.optim.Adam(network.parameters())
    seconds = 0.0
    while True:
        started = time.perf_counter()
        network.train()
        for images, labels in loader:
            _step(network, optimizer, images, labels)
        seconds += time.perf_counter() - started
        network.eval()
        with torch.no_grad():
            right = sum(int((network(x).argmax(1) == y).sum()) for x, y in test)
        yield seconds, right / len(test.dataset)


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> None:
    optimizer.zero_grad()
    loss = F.cross_entropy(network(images), labels)
    loss.backward()
    optimizer.step()
    loss.item()  # for the running mean that such loops print


def _images(root: Path, *, train: bool) -> datasets.MNIST:
    prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    return datasets.MNIST(str(root), train=train, transform=prepare)


def _loader(root: Path, workers: int, count: int | None = None) -> DataLoader:
    images = _images(root, train=True)
    chosen = images if count is None else Subset(images, range(count))
    return DataLoader(chosen, batch_size=BATCH, shuffle=True, num_workers=workers)
