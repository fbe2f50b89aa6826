"""What every format has in common, and the one way in which a file comes to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kalamos.architectures import StagedNetwork
from kalamos.atomic import atomic_write
from kalamos.errors import ExportError, KalamosError
from kalamos.export.destinations import check_ending
from kalamos.export.parity import Answer, check_parity
from kalamos.model_file import ModelSpec
from kalamos.privacy import temporary_torch_folder

__all__ = ["SPEC_FILE", "Exported", "Format", "Source", "export", "opened", "spec_path"]

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
        decode: that content, spec -> how whoever opens it will see it answer.
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
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ExportError(
                f"PyTorch cannot write this {source.spec.architecture} as {self.name} ({first})",
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
    source.spec.to_json()  # PyTorch's exporters take their time; what is wrong already is told before
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
        # Entered last and so renamed first: the spec never stands beside a file that it does not describe.
        yield stack.enter_context(atomic_write(destination))


def spec_path(destination: Path) -> Path:
    """Where the spec goes for a format that cannot hold it.

    >>> spec_path(Path("runs/digits.full.pt")).as_posix()
    'runs/digits.full.pt.json'
    """
    return destination.with_name(f"{destination.name}.json")
