"""Where an export goes by default, and where it must not go."""

from __future__ import annotations

import os
from pathlib import Path

from kalamos.errors import ImageError, UsageError
from kalamos.images import EXTENSIONS, image_format
from kalamos.images.files import display_name

__all__ = ["check_destination", "check_ending", "default_destination", "name_of"]


def default_destination(source: str | os.PathLike[str], suffix: str, *, shipped: bool = False) -> Path:
    """Beside the source: RUN -> RUN.onnx, MODEL.onnx -> MODEL.pt2; in the current folder for a shipped model.

    Args:
        source: a run folder, a model file, or the name of a shipped model.
        suffix: of the file to be written, such as ".onnx" or ".int8.onnx".
        shipped: whether `source` is a shipped model's name.

    >>> default_destination("runs/digits/", ".onnx").as_posix()
    'runs/digits.onnx'
    >>> default_destination("digits", ".int8.onnx", shipped=True).as_posix()
    'digits.int8.onnx'
    """
    path = Path(source)
    if shipped:
        return Path(f"{path.name}{suffix}")
    if path.name in {"", ".."}:
        path = path.resolve()  # `.` has a name only by its place
    stem = path.stem if path.suffix.lower() == ".onnx" else path.name
    return path.with_name(f"{stem}{suffix}")


def name_of(destination: Path, suffix: str) -> str:
    """What a model in this file calls itself: the file's name without its format's suffix.

    >>> name_of(Path("v1.2.torchscript.pt"), ".torchscript.pt"), name_of(Path("mine.ts.pt"), ".pt2")
    ('v1.2', 'mine.ts')
    """
    name = destination.name
    return name.removesuffix(suffix) if name.endswith(suffix) and name != suffix else destination.stem


def check_ending(destination: Path, suffix: str) -> None:
    """Refuse a file whose name promises another format: kalamos and other programs go by it.

    Args:
        suffix: the format's, such as ".int8.onnx"; its last part decides, and `.pth` is as good as `.pt`. A
            folder is left to whoever writes.

    Raises:
        UsageError: it does.

    >>> check_ending(Path("mine.bin"), ".int8.onnx")
    Traceback (most recent call last):
    kalamos.errors.UsageError: mine.bin: the file's name has to end in .onnx; call it mine.onnx
    """
    wanted = f".{suffix.rpartition('.')[2]}"
    ending = destination.suffix.lower()
    if ending != wanted and (ending, wanted) != (".pth", ".pt") and not destination.is_dir():
        raise UsageError(
            f"{display_name(destination)}: the file's name has to end in {wanted}",
            remedy=f"call it {display_name(destination.stem or 'model')}{wanted}",
        )


def check_destination(destination: Path, source: Path | None) -> None:
    """Refuse to write over an image, or over what is being exported.

    Args:
        source: the run folder or the model file; None for a run without a folder.

    Raises:
        UsageError: `destination` is one of those.
    """
    remedy = "name another file after -o"
    if destination.suffix.lower() in EXTENSIONS or _is_image(destination):
        raise UsageError(f"{destination}: this is an image", remedy=remedy)
    if source is None or not destination.is_file():
        return
    if source.is_file() and destination.samefile(source):
        raise UsageError(f"{destination}: this is the very model that is to be exported", remedy=remedy)
    if source.is_dir() and destination.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{destination}: this is a file of the run that is to be exported", remedy=remedy)


def _is_image(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            image_format(stream.read(64))
    except (OSError, ValueError, ImageError):  # absent, or a name that no file can have
        return False
    return True
