"""A page with all samples of an alphabet of one's own, and how each was read when it was held out."""

from __future__ import annotations

from kalamos.evaluation.metrics import wilson_interval
from kalamos.evaluation.reporting import render_page
from kalamos.finetune.tuned import FineTuned
from kalamos.preprocessing.steps import GreyImage

__all__ = ["contact_sheet"]


def contact_sheet(tuned: FineTuned) -> str:
    """Lay out the samples of an alphabet of one's own by character: a page in HTML, all in one file."""
    expected = tuned.expected
    summary = f"{len(tuned.labels):,} characters, {tuned.n:,} samples. "
    if expected is not None and expected.n:
        low, high = wilson_interval(expected.right, expected.n)
        summary += (
            f"On unseen hands expect {expected.right / expected.n:.1%} right, {low:.1%} to {high:.1%} "
            f"({expected.n:,} samples by {expected.hands:,} hands left out in turn)."
        )
    else:
        summary += "How well it reads unseen hands is not measured: that takes samples by three hands."
    rows: dict[str, list[tuple[GreyImage, str | None, str]]] = {label: [] for label in tuned.labels}
    for sample in tuned.samples:
        wrong = sample.answer if sample.answer != sample.label else None
        rows[sample.label].append((sample.image, wrong, sample.name))
    return render_page(
        "taught.html",
        title=tuned.spec.name,
        summary=summary,
        confused=() if expected is None else expected.confused,
        alike=tuned.look_alikes,
        rows=rows.items(),
    )
