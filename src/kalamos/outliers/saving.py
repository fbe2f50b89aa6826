"""What measuring outliers leaves behind.

`outliers.json` has always these keys; a figure that cannot be given is null. Shares are in [0, 1].

model, model_name     what was measured: as asked for, and as the model file says of itself
dataset, split        the known images, of which there are `known`; `sha256` is their fingerprint
seed                  of the drawn sets
min_confidence        below it the model abstains by itself
target_accuracy, target_min_confidence   the threshold that reached this accuracy on validation data, or null
mean_auroc            over the sets, each counting alike
sets                  [{"name", "note", "n", "no_ink", "auroc", "interval_95", "fpr_at_95_tpr", "rejected",
                      "rejected_at_target", "read_as"}, ...]
skipped               [{"name", "reason"}, ...], the sets that could not be drawn
date, kalamos_version
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kalamos._version import __version__
from kalamos.atomic import write_bytes
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.pictures import Picture, encode_png, tile, write_text
from kalamos.evaluation.report import make_folder, metrics_json
from kalamos.outliers.measure import TARGET, Mistake, OutlierReport, SetResult

__all__ = ["outliers_json", "surest_sheet", "write_outlier_report"]

TILE, CAPTION, GAP, HEAD, COLUMNS = 84, 24, 14, 30, 8
INK, FAINT, WRONG = (36, 31, 27), (140, 132, 125), (0, 72, 200)
"""Colours are blue, green, red, as OpenCV orders them."""


def outliers_json(report: OutlierReport, subject: EvalTarget) -> str:
    """The figures as JSON, a line for each key and for each set."""
    return metrics_json(
        {
            "model": subject.model,
            "model_name": report.model,
            "dataset": subject.dataset,
            "split": subject.split,
            "known": report.known,
            "sha256": report.sha256,
            "seed": report.seed,
            "min_confidence": report.threshold,
            "target_accuracy": TARGET,
            "target_min_confidence": report.target_threshold,
            "mean_auroc": report.mean_auroc,
            "sets": [
                {
                    "name": each.name,
                    "note": each.note,
                    "n": each.n,
                    "no_ink": each.no_ink,
                    "auroc": each.auroc,
                    "interval_95": list(each.interval),
                    "fpr_at_95_tpr": each.fpr_at_95_tpr,
                    "rejected": each.rejected,
                    "rejected_at_target": each.rejected_at_target,
                    "read_as": dict(each.read_as),
                }
                for each in report.sets
            ],
            "skipped": [{"name": skipped.name, "reason": skipped.reason} for skipped in report.skipped],
            "date": datetime.now(UTC).date().isoformat(),
            "kalamos_version": __version__,
        }
    )


def surest_sheet(report: OutlierReport) -> Picture:
    """Of each set the images read most surely, the surest first; uint8 [H, W, 3], BGR.

    Each beside what the model saw; below: what it was read as, and how surely.
    """
    return np.vstack([_band(each) for each in report.sets])


def write_outlier_report(folder: Path, report: OutlierReport, subject: EvalTarget) -> tuple[str, ...]:
    """Write `outliers.json` and `outliers.png` (`surest_sheet`).

    Returns:
        The names of the files written.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    make_folder(folder)
    written = {
        "outliers.json": outliers_json(report, subject).encode(),
        "outliers.png": encode_png(surest_sheet(report)),
    }
    for name, content in written.items():
        write_bytes(folder / name, content)
    return tuple(written)


def _band(each: SetResult) -> Picture:
    width = COLUMNS * (2 * TILE + GAP) + GAP
    head = _blank(HEAD, width)
    told = f"{each.name}   AUROC {each.auroc:.4f}   {each.n:,} images, {each.no_ink:,} without ink"
    write_text(head, told, GAP, 0.0, INK, width - 2 * GAP, baseline=HEAD - 6, size=0.55)
    rows = [head]
    for start in range(0, len(each.surest), COLUMNS):
        row = _blank(TILE + CAPTION, width)
        for place, mistake in enumerate(each.surest[start : start + COLUMNS]):
            left = GAP + place * (2 * TILE + GAP)
            row[:, left : left + 2 * TILE] = _pair(mistake)
        rows.append(row)
    return np.vstack([*rows, _blank(GAP, width)])


def _pair(mistake: Mistake) -> Picture:
    cell = _blank(TILE + CAPTION, 2 * TILE)
    cell[:TILE, : TILE - 1] = tile(mistake.image, TILE)[:, : TILE - 1]
    cell[:TILE, TILE + 1 :] = tile(mistake.seen, TILE)[:, 1:]
    write_text(cell, mistake.label, TILE - 6, 1.0, WRONG, TILE)
    write_text(cell, f"{mistake.confidence:.1%}", TILE + 6, 0.0, FAINT, TILE)
    return cell


def _blank(height: int, width: int) -> Picture:
    return np.full((height, width, 3), 255, np.uint8)
