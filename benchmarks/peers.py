"""kalamos beside the PyTorch scripts of the projects before it, with the same weights, in the same run."""

from __future__ import annotations

import csv
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from figures import Row, at_least, at_most
from pictures import draw_digits
from processes import Figures, alternate, run_once
from running import KALAMOS

__all__ = ["measure"]

SCRIPT = str(Path(__file__).parent / "peer_script.py")


def measure(repeats: int, images: int) -> tuple[list[Row], str]:
    """The rows, and what the note has to say of how far the answers agree."""
    with tempfile.TemporaryDirectory() as work:
        pictures, model = Path(work, "pictures"), str(Path(work, "digits.torchscript.pt"))
        pictures.mkdir()
        draw_digits(pictures, images)
        run_once([*KALAMOS, "export", "digits", "-f", "torchscript", "-o", model])
        outputs = {name: str(Path(work, f"{name}.csv")) for name in ("kalamos", "single", "batched")}
        peer = [sys.executable, SCRIPT, model]
        one = str(next(pictures.iterdir()))
        alone = alternate(
            {
                "kalamos": [*KALAMOS, "predict", one],
                "single": [*peer, one, outputs["single"]],
            },
            repeats,
        )
        many = alternate(
            {
                "kalamos": [*KALAMOS, "predict", str(pictures), "-o", outputs["kalamos"]],
                "single": [*peer, str(pictures), outputs["single"]],
                "batched": [*peer, str(pictures), outputs["batched"], "--batched"],
            },
            repeats,
        )
        agreement = _agreement(*outputs.values())
    rate = {name: Figures(tuple(images / each for each in run[0].values)) for name, run in many.items()}
    seconds, memory = alone["kalamos"]
    peer_seconds, peer_memory = alone["single"]
    what, loop = f"a folder of {images:,} 28x28 PNGs", "PyTorch, an image at a time"
    rows = [
        Row(what, rate["kalamos"], "images/s", loop, rate["single"]),
        Row(what, rate["kalamos"], "images/s", "PyTorch, in batches of 64", rate["batched"]),
        Row("one image, wall time", seconds, "s", loop, peer_seconds),
        Row("one image, peak memory", memory, "MB", loop, peer_memory),
    ]
    wanted = (
        at_least(15, rows[0].ratio.median),
        "",
        at_most(round(1 / 12, 3), rows[2].ratio.median),
        at_most(round(1 / 6, 3), rows[3].ratio.median),
    )
    rows = [Row(**{**vars(row), "wanted": each}) for row, each in zip(rows, wanted, strict=True)]
    return rows, agreement


def _agreement(ours: str, *peers: str) -> str:
    """How often all wrote the same label."""
    with Path(ours).open(newline="") as file:
        labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
    same = len(labels)
    for peer in peers:
        with Path(peer).open(newline="") as file:
            same = min(same, sum(labels[path] == label for path, label in csv.reader(file)))
    versions = " and ".join(f"{name} {version(name)}" for name in ("torch", "torchvision"))
    return f"kalamos and {versions} wrote the same label for {same:,} of {len(labels):,} images"
