"""`make bench-training`: kalamos's training beside the plain loop, on MNIST, measured in one run.

Usage: python benchmarks/training.py [--repeats 5] [--images 6400] [--to-accuracy] [--write]
`--to-accuracy` also trains both until they read 99.3 % of the test images, which takes minutes; `--write`
puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import plain_loop
import torch
from processes import Figures

import kalamos
from kalamos.datasets import Dataset, load_dataset
from kalamos.learn import Recipe, load_recipe, run_recipe
from kalamos.learn.data import Examples
from kalamos.learn.distributed import Engine, choose_precision
from kalamos.learn.loop import infer, train_network
from kalamos.learn.models import create_model
from kalamos.preprocessing import Preprocessor, default_steps

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

ARCH, WANTED = "cnn3", 0.993
FAST = ROOT / "recipes" / "mnist-fast.toml"
MOST_EPOCHS = 30
"""Of the plain loop, before it counts as never reaching the wanted accuracy."""


@dataclass(frozen=True)
class Row:
    what: str
    ours: str
    plain: str
    ratio: str
    wanted: str

    def markdown(self) -> str:
        return f"| {self.what} | {self.ours} | {self.plain} | {self.ratio} | {self.wanted} |"


def our_rate(data: Examples) -> float:
    """Images a second of kalamos's loop, with the same network, optimiser and batch as the plain one."""
    torch.manual_seed(0)
    recipe = Recipe(arch=ARCH, epochs=2, batch_size=plain_loop.BATCH, optimizer="adam", schedule="constant")
    network = create_model(ARCH, 10)
    engine = Engine("cpu", choose_precision("auto", "cpu", network))
    held = replace(data, images=data.images[:100], labels=data.labels[:100])
    state = train_network(recipe, network, data, held, engine=engine)
    return state.reports[-1].images_per_second


def rates(dataset: Dataset, root: Path, count: int, repeats: int) -> list[Row]:
    preprocessor = Preprocessor(default_steps(28))
    few = dataset.train.take(np.arange(count))
    data = Examples.of(few.stack(), few.labels, 10, preprocessor)
    ours, plain = [], {0: [], 2: []}
    for _ in range(repeats):
        ours.append(our_rate(data))
        for workers, measured in plain.items():
            torch.manual_seed(0)
            measured.append(
                plain_loop.images_per_second(root, create_model(ARCH, 10), count, workers=workers)
            )
    rows = []
    for workers, measured in plain.items():
        ratio = Figures(tuple(ours)).over(Figures(tuple(measured)))
        loaded = f"{workers} loader processes" if workers else "no loader processes"
        rows.append(
            Row(
                f"`{ARCH}`, batch {plain_loop.BATCH}, no augmentation; plain loop with {loaded}",
                f"{_shown(Figures(tuple(ours)))} images/s",
                f"{_shown(Figures(tuple(measured)))} images/s",
                f"{ratio.median:.2f} ({ratio.spread[0]:.2f} to {ratio.spread[1]:.2f})",
                "at least 3",
            )
        )
    return rows


def to_accuracy(dataset: Dataset, root: Path) -> Row:
    """Seconds of training until 99.3 % of the test images are read; ours at the end of its fixed schedule."""
    recipe = load_recipe(FAST)
    run = run_recipe(recipe, device="cpu")
    prepared = Preprocessor(run.recipe.preprocessing).batch(dataset.test.stack())
    ours = float((infer(run.network, prepared).argmax(1) == dataset.test.labels).mean())
    torch.manual_seed(recipe.seed)
    seconds, accuracy = 0.0, 0.0
    for epoch, (seconds, accuracy) in enumerate(plain_loop.accuracies(root, create_model(ARCH, 10)), start=1):
        print(f"plain loop, epoch {epoch}: {accuracy:.2%} after {seconds:.0f} s", file=sys.stderr)
        if accuracy >= WANTED or epoch == MOST_EPOCHS:
            break
    reached = "" if accuracy >= WANTED else ", not reached"
    missed = "" if ours >= WANTED else ", not reached"
    return Row(
        f"time to {WANTED:.1%} of MNIST's test images (n = 10,000), `recipes/{FAST.name}` "
        f"({len(run.epochs)} epochs) against `{ARCH}` in the plain loop ({epoch} epochs)",
        f"{run.seconds:.0f} s ({ours:.2%}{missed})",
        f"{seconds:.0f} s ({accuracy:.2%}{reached})",
        f"{run.seconds / seconds:.3f}",
        "at most 0.1",
    )


def _shown(figures: Figures) -> str:
    low, high = figures.spread
    return f"{figures.median:,.0f} ({low:,.0f} to {high:,.0f})"


def _table(rows: list[Row], repeats: int) -> str:
    head = "| what | kalamos | plain loop | ratio | wanted |\n|---|---|---|---|---|"
    capabilities = torch.cpu.get_capabilities()
    bf16 = "with" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "without"
    foot = (
        f"Measured by `make bench-training` on {datetime.now(UTC).date()}: median (min to max), "
        f"n = {repeats} repeats in turn; {os.cpu_count()} cores, {platform.machine()} {bf16} bf16 "
        f"instructions, torch {torch.__version__.partition('+')[0]}, {torch.get_num_threads()} threads, "
        f"kalamos {kalamos.__version__}."
    )
    return "\n".join([head, *(row.markdown() for row in rows), "", foot])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument("--to-accuracy", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    started = time.perf_counter()
    dataset = load_dataset("mnist")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plain_loop.unpack(Path(os.environ["KALAMOS_DATA"]) / "mnist", root)
        rows = rates(dataset, root, asked.images, asked.repeats)
        if asked.to_accuracy:
            rows.append(to_accuracy(dataset, root))
    table = _table(rows, asked.repeats)
    print(table)
    print(f"took {time.perf_counter() - started:.0f} s", file=sys.stderr)
    if asked.write:
        page = ROOT / "docs" / "performance.md"
        page.write_text(replace_part(page.read_text("utf-8"), "bench-training", table), "utf-8")


if __name__ == "__main__":
    main()
