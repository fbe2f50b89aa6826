"""The export formats' common base: a file is kept only if it answers as the network does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from kalamos.errors import ExportError, ImageError, KalamosError, UsageError, first_line
from kalamos.images import EXTENSIONS, image_format
from kalamos.images.files import display_name
from kalamos.learn.loop import infer
from kalamos.learn.models import StagedNetwork
from kalamos.model_file import ModelSpec
from kalamos.preprocessing import Preprocessor
from kalamos.privacy import temporary_torch_folder
from kalamos.utils.atomic_write import atomic_write

__all__ = [
    "BATCH_SIZES",
    "MAX_LOGIT_DIFFERENCE",
    "SPEC_FILE",
    "Answer",
    "Exported",
    "Format",
    "Source",
    "check_destination",
    "check_ending",
    "check_parity",
    "default_destination",
    "export",
    "name_of",
    "opened",
    "spec_path",
    "strokes",
]

MAX_LOGIT_DIFFERENCE = 1e-4
"""Largest difference of any logit."""

BATCH_SIZES = (1, 2, 7)
"""One shows a lost batch dimension, two and seven a frozen one."""

Answer: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Images float32 [N, 1, S, S], normalised -> logits float32 [N, C]."""

SPEC_FILE = "kalamos.json"
"""Under this name formats that hold extra files carry the spec."""


@dataclass(frozen=True)
class Source:
    """A network with all that is known of it.

    Attributes:
        network: on the CPU.
        spec: what its file will say of it.
    """

    network: StagedNetwork
    spec: ModelSpec


@dataclass(frozen=True)
class Format:
    """One way to write a network, and the way in which others will read it.

    Attributes:
        encode: network in evaluation mode, spec -> the file's content.
        decode: that content, spec -> the answers that a program which opens the file gets.
        opens_with: Python that opens the file, with `{}` for its path.
        spec_beside: whether the spec is a file of its own, `FILE.json`: the format has no place for it.
    """

    name: str
    suffix: str
    encode: Callable[[StagedNetwork, ModelSpec], bytes]
    decode: Callable[[bytes, ModelSpec], Answer]
    opens_with: str
    spec_beside: bool = False

    def checked(self, source: Source) -> tuple[bytes, float]:
        """The file's content, and the largest difference of its logits from the network's.

        Raises:
            ExportError: PyTorch cannot write the network so, or what it writes answers otherwise.
        """
        network = source.network.eval()
        try:
            with temporary_torch_folder():
                content = self.encode(network, source.spec)
                answer = self.decode(content, source.spec)
        except KalamosError:
            raise
        except Exception as error:  # PyTorch's exporters raise what comes, from many layers
            raise ExportError(
                f"PyTorch cannot write this {source.spec.architecture} as {self.name} ({first_line(error)})",
                remedy="choose another format",
            ) from error
        return content, check_parity(network, answer, source.spec, f"the {self.name} file")


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        difference: the largest difference of a logit from the network's, on the gate's images; of an int8
            model from the float one's, on the validation images.
        float_bytes: size of the float model that an int8 one was made from; None for others. What int8
            costs else, the spec's `quantisation` says.
    """

    path: Path
    spec: ModelSpec
    size_bytes: int
    difference: float
    float_bytes: int | None = None


def export(source: Source, form: Format, destination: Path) -> Exported:
    """Write `source` in a format, unless what was written reads back with other answers.

    Raises:
        UsageError: the file's name promises another format.
        ExportError: PyTorch cannot write the network so, or the file answers otherwise.
        ModelFileError: weights are NaN or infinite, or the spec cannot be written.
        OutputError: the file cannot be written.
    """
    check_ending(destination, form.suffix)
    source.spec.to_json()  # fails early: PyTorch's exporters take their time
    with opened(destination, source.spec if form.spec_beside else None) as stream:
        content, difference = form.checked(source)
        stream.write(content)
    return Exported(destination, source.spec, len(content), difference)


@contextmanager
def opened(destination: Path, spec_beside: ModelSpec | None = None) -> Iterator[BinaryIO]:
    """A file that appears whole when the block ends well; where a spec goes beside it, that too.

    Raises:
        OutputError: a file cannot be written; on entering, as far as it can be known then.
    """
    with ExitStack() as stack:
        if spec_beside is not None:
            beside = stack.enter_context(atomic_write(spec_path(destination)))
            beside.write(spec_beside.to_json().encode() + b"\n")
        # Entered last and so renamed first: there is never a spec beside a file that it does not describe.
        yield stack.enter_context(atomic_write(destination))


def check_parity(
    network: nn.Module, answer: Answer, spec: ModelSpec, what: str = "the exported file", *, seed: int = 0
) -> float:
    """Compare logits on drawn strokes, at several batch sizes.

    Args:
        network: the truth; put into evaluation mode.
        answer: the file as read back, run as a program that opens it would.
        spec: for the images' size and normalisation.
        what: what to call it in messages.

    Returns:
        The largest difference that was seen.

    Raises:
        ExportError: a logit differs by more than `MAX_LOGIT_DIFFERENCE`, or a best class differs.
    """
    prepare = Preprocessor(spec.preprocessing)
    generator = np.random.default_rng(seed)
    worst = 0.0
    for count in BATCH_SIZES:
        images = prepare.batch(strokes(count, spec.input_size, generator))
        expected = infer(network, images)
        try:
            answered = answer(images)
        except Exception as error:  # whatever runs it has errors of its own
            raise ExportError(f"{what} fails at batch size {count}: {first_line(error)}") from error
        if answered.shape != expected.shape:
            raise ExportError(
                f"{what} answers {list(answered.shape)} at batch size {count}, "
                f"where the network answers {list(expected.shape)}"
            )
        difference = float(np.abs(expected - answered).max())
        worst = max(worst, difference)
        if not difference <= MAX_LOGIT_DIFFERENCE or (expected.argmax(1) != answered.argmax(1)).any():
            raise ExportError(
                f"{what} differs from the network by {difference:.2g} at batch size {count}, "
                f"where {MAX_LOGIT_DIFFERENCE:g} and the same best class are asked for",
                remedy="nothing was written; the network may hold an operator that this format changes",
            )
    return worst


def strokes(count: int, size: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Curves as a pen draws them, bright on black: uint8 [count, size, size].

    >>> images = strokes(2, 28, np.random.default_rng(0))
    >>> images.shape, bool((images == 0).mean() > 0.5), int(images.max())
    ((2, 28, 28), True, 255)
    """
    images = np.zeros((count, size, size), np.uint8)
    along = np.linspace(0, 1, 20)[:, np.newaxis]  # [20, 1]
    fraction = 4  # bits of sub-pixel position in OpenCV's coordinates
    for image in images:
        for _ in range(generator.integers(1, 4)):
            start, bend, end = generator.uniform(0.15, 0.85, (3, 2)) * size
            curve = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end  # [20, 2]
            points = np.round(curve * 2**fraction).astype(np.int32)
            cv2.polylines(image, [points], False, 255, max(1, size // 12), cv2.LINE_AA, fraction)
    return images


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


def spec_path(destination: Path) -> Path:
    """Where the spec goes for a format that cannot hold it.

    >>> spec_path(Path("runs/digits.full.pt")).as_posix()
    'runs/digits.full.pt.json'
    """
    return destination.with_name(f"{destination.name}.json")


def check_ending(destination: Path, suffix: str) -> None:
    """Refuse a file whose name promises another format: kalamos and other programs go by it.

    Args:
        suffix: the format's, such as ".int8.onnx"; its last part decides, and `.pth` is as good as `.pt`. A
            folder is left to the write itself.

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
