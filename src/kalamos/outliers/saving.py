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

from pathlib import Path

import numpy as np

from kalamos._version import __version__
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.html import render_page, report_json, save_files, today
from kalamos.outliers.console import figures_of, heads_of, notes_of
from kalamos.outliers.measure import TARGET, OutlierReport

__all__ = ["ood_page", "outliers_json", "write_outlier_report"]


def outliers_json(report: OutlierReport, subject: EvalTarget) -> str:
    """The figures as JSON, a line for each key and for each set."""
    return report_json(
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
            "date": today(),
            "kalamos_version": __version__,
        }
    )


def ood_page(report: OutlierReport, subject: EvalTarget) -> str:
    """Render the figures, and of each set the images read most confidently, as HTML."""
    rejected = f"{np.mean([each.rejected for each in report.sets]):.1%}"
    return render_page(
        "ood.html",
        title=f"{subject.model}: outliers",
        report=report,
        subject=subject,
        summary=[
            (f"{report.mean_auroc:.4f}", "mean AUROC over the sets, 1 is best"),
            (rejected, "of the outliers rejected, mean over the sets"),
        ],
        heads=heads_of(report),
        rows=[(each, figures_of(each)) for each in report.sets],
        notes=notes_of(report),
    )


def write_outlier_report(folder: Path, report: OutlierReport, subject: EvalTarget) -> tuple[str, ...]:
    """Write `outliers.json` and `outliers.html` (`ood_page`).

    Returns:
        The names of the files written.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    figures, page = outliers_json(report, subject), ood_page(report, subject)
    return save_files(folder, {"outliers.json": figures, "outliers.html": page})
