"""`kalamos corrections`: let a team review what was corrected, in Label Studio."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

from kalamos.cli._shared import MODEL_NAME, SuggestingGroup, echo

MAX_TOLD = 20
"""Images that could not be used, and are named one by one."""


@click.group(cls=SuggestingGroup)
def corrections() -> None:
    """Let a team review corrections in Label Studio.

    \b
    kalamos corrections export corrections/digits -o tasks.json
    kalamos corrections import corrections/digits project-1.json
    """  # noqa: D301  (click's mark for lines that stay as they are)


@corrections.command("export", no_args_is_help=True)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="TASKS.json",
    help="The tasks; the labelling configuration beside them is TASKS.xml.",
)
@click.option(
    "-m",
    "--model",
    type=MODEL_NAME,
    help="The model that was corrected: all of its labels can be chosen.  [default: those in FOLDER can]",
)
@click.option(
    "--local-files",
    type=click.Path(path_type=Path),
    metavar="ROOT",
    help="The folder that Label Studio serves (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT), which holds FOLDER: "
    "tasks refer to images there.  [default: the images are inside the tasks]",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
def export_corrections(
    folder: Path, output: Path, model: str | None, local_files: Path | None, force: bool
) -> None:
    """Write the corrections in FOLDER as tasks that Label Studio imports.

    Each task has an image, the label that was kept and the model's guess with its confidence, as
    predictions.

    Exit status: 0 all images are in, 1 some cannot be read, 2 wrong usage.
    """
    from kalamos.finetune.label_studio import export_tasks

    done = export_tasks(folder, output, model=model, local_files=local_files, force=force)
    tasks = f"{done.tasks:,} task{'s' if done.tasks != 1 else ''}"
    echo(f"{done.path}: {tasks}\n{done.config}: the labelling configuration, {len(done.labels):,} labels")
    _tell([str(problem) for problem in done.problems])
    sys.exit(1 if done.problems else 0)


@corrections.command("import", no_args_is_help=True)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("export", type=click.Path(path_type=Path), metavar="EXPORT.json")
@click.option(
    "--majority", is_flag=True, help="Where annotators disagree, take what more than half of them say."
)
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and change nothing.")
def import_corrections(folder: Path, export: Path, majority: bool, dry_run: bool) -> None:
    """Give the corrections in FOLDER the labels that reviewers gave them in Label Studio.

    EXPORT.json is what Label Studio exports as JSON. Images that nobody reviewed, and those that annotators
    disagree about, stay as they are; an annotation marked as ground truth settles it. Importing it again
    changes nothing.

    Exit status: 0 all reviews used, 1 some not, 2 wrong usage.
    """
    from kalamos.finetune.label_studio import OUTCOMES, UNUSED, import_reviews

    reviews = import_reviews(folder, export, majority=majority, dry_run=dry_run)
    counts = Counter(review.outcome for review in reviews)
    told = [f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES if counts[outcome]]
    echo(f"{folder}: {', '.join(told) or 'no tasks'}{' (nothing is written)' if dry_run else ''}")
    moves = Counter((review.before, review.after) for review in reviews if review.outcome == "changed")
    for (before, after), count in moves.most_common():
        echo(f"  {_shown(before)} is {_shown(after)}: {count:,}")
    unused = [review for review in reviews if review.outcome in UNUSED]
    _tell([f"{review.correction}: {review.outcome}: {review.why}" for review in unused])
    sys.exit(1 if unused else 0)


def _shown(label: str | None) -> str:
    return "not a character" if label is None else label


def _tell(lines: list[str]) -> None:
    for line in lines[:MAX_TOLD]:
        echo(f"  {line}", err=True)
    if len(lines) > MAX_TOLD:
        echo(f"  and {len(lines) - MAX_TOLD:,} more", err=True)
