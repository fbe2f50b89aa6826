"""`kalamos teach` (`fine-tune`): make a new model from an old one and a few examples."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli._shared import (
    DATASET_NAME,
    TEACHABLE_NAME,
    classes_option,
    data_dir_option,
    echo,
    format_option,
    licence_option,
    print_licence,
    print_result,
    print_skipped,
    progress_callback,
)

if TYPE_CHECKING:
    from kalamos.datasets import ClassFolders
    from kalamos.finetune import FineTuned, Score
    from kalamos.finetune.tuned import Expected


SHOWN_SUSPECTS = 10
"""Likely label errors that are named."""


@click.command(no_args_is_help=True, epilog="Exit status: 0 all examples used, 1 some not, 2 wrong usage.")
@click.argument("model", type=TEACHABLE_NAME)
@click.argument("folder", type=DATASET_NAME, required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The new model file, NEW.onnx."
)
@click.option("--only", is_flag=True, help="Leave the old classes out; with glyphs there are none.")
@click.option(
    "--chars",
    metavar="TEXT",
    help="Draw these characters from fonts, in place of FOLDER: each is a class, with blanks between them or "
    "without.",
)
@click.option(
    "--script", metavar="NAME", help="Draw a script's letters and digits from fonts, in place of FOLDER."
)
@click.option(
    "--font",
    "fonts",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="A font file, or a folder of fonts, to draw from.  [default: the system's]",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    metavar="SHARE",
    help="The share of each class to hold out for measuring accuracy; 0 measures nothing. With --only and "
    "with glyphs hands are left out instead.",
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PAGE.html",
    help="Write a contact sheet: all samples by character, and how models of the other hands read them. "
    "With --only and with glyphs.",
)
@click.option(
    "--same/--new",
    "same",
    default=None,
    help="What examples are whose label MODEL has: of that class, or of a new one.  [default: ask where they "
    "look otherwise]",
)
@click.option("--name", help="Name of the new model.  [default: the output's name]")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Random seed.")
@click.option("--force", is_flag=True, help="Replace an existing file; never the old model.")
@format_option
@licence_option
@classes_option
@data_dir_option
@click.pass_context
def teach(
    context: click.Context,
    model: str,
    folder: str | None,
    output: Path,
    only: bool,
    same: bool | None,
    chars: str | None,
    script: str | None,
    fonts: tuple[Path, ...],
    holdout: float,
    sheet: Path | None,
    name: str | None,
    seed: int,
    force: bool,
    format_name: str,
    licence: str | None,
    data_dir: Path | None,
    classes: ClassFolders | None,
) -> None:
    """Teach MODEL (a name or an .onnx file) the characters in FOLDER; take seconds, and no PyTorch.

    With `glyphs`, which knows shapes and no alphabet, or with --only, the new model reads the classes in
    FOLDER alone: from one example a class, better from 5 to 10 by several hands. Without FOLDER, --chars or
    --script draws them from fonts. Any other model keeps its classes and learns new ones and new hands.

    FOLDER has one sub-folder per class, or is a CSV file with path,label, or a zip archive of either. The
    old model stays as it is. What to expect is measured on hands or examples that are held out; the new
    model then learns from all of them. `kalamos fine-tune` is the same command.
    """
    from kalamos.finetune import check_target, fine_tune, load_examples
    from kalamos.finetune.contact_sheet import contact_sheet
    from kalamos.finetune.from_fonts import (
        characters_of_script,
        draw_examples,
        find_fonts,
        split_characters,
    )
    from kalamos.model_file.spec import NOT_STATED, check_licence
    from kalamos.utils.atomic_write import write_text
    from kalamos.zoo import find_model

    if sum(each is not None for each in (folder, chars, script)) != 1:
        raise click.UsageError("Give one of FOLDER, --chars and --script.")
    if fonts and folder is not None:
        raise click.UsageError("--font is for --chars and --script.")
    chosen = NOT_STATED if licence is None else check_licence(licence)
    check_target(output, find_model(model), force=force)
    if folder is None:
        characters = split_characters(chars) if chars is not None else characters_of_script(script or "")
        examples = draw_examples(characters, find_fonts(fonts or None), name=output.stem, seed=seed)
    else:
        examples = load_examples(folder, data_dir, classes=classes)
    with progress_callback(total=len(examples)) as on_progress:
        tuned = fine_tune(
            model,
            examples,
            name=name or output.stem,
            only=only,
            existing=None if same is None else "same" if same else "new",
            holdout=holdout,
            seed=seed,
            licence=chosen,
            on_progress=lambda share: on_progress(round(share * len(examples))),
        )
    tuned.save(output, force=force)
    if sheet is not None:
        write_text(sheet, contact_sheet(tuned))
    print_result(
        format_name,
        lambda: json.dumps(_as_json(tuned, model, output), ensure_ascii=False, indent=2),
        lambda _: _print_outcome(tuned, model, output),
    )
    for note in tuned.notes:
        echo(note, err=True)
    _print_suspects(tuned)
    print_skipped(folder or "fonts", tuned.problems)
    if any(problem.lost or folder is None for problem in tuned.problems):
        context.exit(1)


def _print_outcome(tuned: FineTuned, model: str, output: Path) -> None:
    from kalamos.datasets.class_names import list_names

    before, after = tuned.before, tuned.after
    echo(f"{output}: {len(tuned.labels):,} classes, fine-tuned from {model} on {tuned.n:,} examples")
    if tuned.expected is not None:
        _print_expected(tuned, tuned.expected)
        print_licence(tuned.spec)
        return
    echo(list_names(tuned.labels))
    if tuned.new_labels:
        echo(f"new: {list_names(tuned.new_labels)}")
    _print_alike(tuned)
    if not after.n:
        echo("nothing held out, so nothing measured: that takes at least two examples per class")
    if after.new_n:
        echo(f"new classes   {_share(after.new_right, after.new_n)} held-out examples right")
    if after.known_n:
        was, now = _share(before.known_right, before.known_n), _share(after.known_right, after.known_n)
        echo(f"known classes {now} held-out examples right, before: {was}")
    elif tuned.new_labels:
        echo("no examples of known classes, so the accuracy on those is not measured")
    if tuned.taken:
        lost = ", ".join(f"{old} read as {new} ({_share(taken, n)})" for old, new, taken, n in tuned.taken)
        echo(f"new classes take from old ones, by what the model remembers of those: {lost}")
    print_licence(tuned.spec)


def _print_suspects(tuned: FineTuned) -> None:
    suspects = tuned.suspects
    shown = [
        f"{one.name or 'an example'} ({one.label}, looks like {one.answer})"
        for one in suspects[:SHOWN_SUSPECTS]
    ]
    if len(suspects) > len(shown):
        shown.append(f"and {len(suspects) - len(shown):,} more")
    if shown:
        echo(f"likely label errors, put right or take out what is wrong: {', '.join(shown)}", err=True)


def _print_alike(tuned: FineTuned) -> None:
    from kalamos.datasets.class_names import alike_names, describe_alike

    for group in alike_names(tuned.labels):
        echo(f"class names that look alike: {describe_alike(group)}", err=True)


def _print_expected(tuned: FineTuned, expected: Expected) -> None:
    """Say which classes there are, what to expect of unseen hands, and what to do about the weak ones."""
    from kalamos.datasets.class_names import list_names
    from kalamos.evaluation.metrics import wilson_interval
    from kalamos.finetune.from_fonts import FONTS

    echo(list_names(tuned.labels))
    _print_alike(tuned)
    if expected.n:
        low, high = wilson_interval(expected.right, expected.n)
        echo(
            f"expected on unseen hands: {_share(expected.right, expected.n)}, "
            f"95 % interval {low:.1%} to {high:.1%}; "
            f"{expected.hands} hands left out in turn, told by {expected.grouped_by}"
        )
    elif expected.grouped_by == FONTS:
        echo(
            "expected on unseen hands: not measured, no hand taught it; add samples: kalamos teach "
            f"{tuned.spec.name}.onnx FOLDER"
        )
    else:
        echo("expected on unseen hands: not measured, that takes examples by three hands or more")
    if expected.weak:
        echo(
            "need more samples: "
            + ", ".join(f"{label} ({right} of {n})" for label, right, n in expected.weak)
        )
    if expected.confused:
        echo("confused: " + ", ".join(f"{a} read as {b} ({n})" for a, b, n in expected.confused))
    if tuned.look_alikes:
        echo("look alike: " + ", ".join(f"{a} and {b}" for a, b in tuned.look_alikes))


def _share(right: int, n: int) -> str:
    return f"{right:,} of {n:,} ({right / n:.1%})"


def _as_json(tuned: FineTuned, model: str, output: Path) -> dict[str, Any]:
    return {
        "model": output.as_posix(),
        "name": tuned.spec.name,
        "taught_from": model,
        "examples": tuned.n,
        "temperature": tuned.spec.temperature,
        "licence": tuned.spec.licence,
        "labels": list(tuned.labels),
        "new_labels": list(tuned.new_labels),
        "expected": None if tuned.expected is None else asdict(tuned.expected),
        "look_alikes": tuned.look_alikes,
        "taken": [{"label": old, "by": new, "taken": taken, "n": n} for old, new, taken, n in tuned.taken],
        "notes": list(tuned.notes),
        "suspects": [asdict(each) for each in tuned.suspects],
        "before": _score_json(tuned.before),
        "after": _score_json(tuned.after),
        "problems": [{"where": each.where, "what": each.what} for each in tuned.problems],
    }


def _score_json(score: Score) -> dict[str, Any]:
    return {
        "n": score.n,
        "accuracy": score.accuracy,
        "known": {"n": score.known_n, "right": score.known_right, "accuracy": score.known_accuracy},
        "new": {"n": score.new_n, "right": score.new_right, "accuracy": score.new_accuracy},
    }
