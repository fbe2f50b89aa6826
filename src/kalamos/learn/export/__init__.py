"""Export a run or a model behind a parity check.

From a run or a model file to files that others open; none is written that answers otherwise.

```
run ──────── sources ─┐                      ┌─ onnx_file, torchscript, pt2, pickles ─ parity ─┐
model file ─ rebuild ─┴─ network + ModelSpec ┴─ onnx_file ─ int8 (calibration) ─ accuracy ─────┴─ file
```

The formats by name, and `export_model`, which writes any of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final

from kalamos.errors import UsageError, suggest
from kalamos.learn.export.base import (
    Exported,
    Format,
    Source,
    check_destination,
    check_ending,
    default_destination,
    export,
    name_of,
    spec_path,
)
from kalamos.learn.export.int8 import calibration_data, export_int8
from kalamos.learn.export.onnx_format import ONNX, with_licence
from kalamos.learn.export.sources import from_model, from_run
from kalamos.learn.export.torch_formats import FULL, PT2, STATE_DICT, TORCHSCRIPT
from kalamos.learn.run import Run, load_run
from kalamos.model_file import read_spec
from kalamos.model_file.spec import check_licence
from kalamos.zoo import find_model, names

__all__ = ["FORMATS", "export_model"]

FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {form.name: form for form in (ONNX, TORCHSCRIPT, PT2, FULL, STATE_DICT)}
)

INT8_SUFFIX: Final = ".int8.onnx"


def export_model(
    source: Run | str | os.PathLike[str],
    destination: str | os.PathLike[str] | None = None,
    *,
    format: str = "onnx",  # noqa: A002  (what it is called everywhere)
    int8: bool = False,
    licence: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Exported:
    """Write a run or a model as a file that other programs open; a file that answers otherwise is not kept.

    Args:
        source: a `Run`, a run folder, an `.onnx` file of kalamos, or a shipped model's name.
        destination: the file to write; None: beside the source, with the format's suffix.
        format: `"onnx"` (kalamos' own), `"torchscript"`, `"pt2"`, `"full"` or `"state-dict"`.
        int8: whether to quantise the weights: for onnx only; needs the dataset, to calibrate on.
        licence: an SPDX identifier for the file; None leaves the model's, and states none for a run.
        data_dir: the folder that holds the named datasets, for `int8`.

    Raises:
        UsageError: no such format, the file's name promises another one, or the file must not be replaced.
        ModelNotFoundError, ModelError, TrainingError: the source cannot be read.
        ExportError: PyTorch cannot write the network so, or int8 would lose accuracy.
        OutputError: the file cannot be written.

    >>> done = export_model("digits", "digits.pt2", format="pt2")  # doctest: +SKIP
    >>> done.size_bytes, done.difference < 1e-4  # doctest: +SKIP
    (402915, True)
    """
    licence = None if licence is None else check_licence(licence)
    if format not in FORMATS:
        raise UsageError(f"there is no export format {format!r}", remedy=suggest(format, FORMATS))
    form = FORMATS[format]
    if int8 and form is not ONNX:
        raise UsageError(f"int8 is for onnx, not for {format}", remedy="leave out one of the two")
    suffix = INT8_SUFFIX if int8 else form.suffix
    model = None if isinstance(source, Run) else _model_file(source)
    if model is not None and form is ONNX and not int8:
        raise UsageError(
            f"{source}: already an onnx model", remedy="quantise it (--int8), or choose another format (-f)"
        )
    target = Path(destination) if destination is not None else _default_target(source, suffix)
    place = source.folder if isinstance(source, Run) else Path(source) if model is None else model
    check_destination(target, place)
    if form.spec_beside:
        check_destination(spec_path(target), place)
    check_ending(target, suffix)
    if model is None:
        run = source if isinstance(source, Run) else load_run(Path(source))
        found, split = from_run(run, name_of(target, suffix)), run.split
    elif int8:
        spec, content = read_spec(model), model.read_bytes()
        content = content if licence is None else with_licence(content, spec, licence)
        return export_int8(content, calibration_data(spec, data_dir), target)
    else:
        found, split = from_model(model), None
    if licence is not None:
        found = Source(found.network, replace(found.spec, licence=licence))
    if not int8:
        return export(found, form, target)
    content, _ = ONNX.checked(found)
    return export_int8(content, calibration_data(found.spec, data_dir, split=split), target)


def _default_target(source: Run | str | os.PathLike[str], suffix: str) -> Path:
    if not isinstance(source, Run):
        return default_destination(source, suffix, shipped=source in names())
    if source.folder is None:
        raise UsageError("this run was kept in no folder", remedy="name the file to write")
    return default_destination(source.folder, suffix)


def _model_file(source: str | os.PathLike[str]) -> Path | None:
    """The model file that is meant, or None for a run folder.

    A shipped model's name goes before a folder of that name; `./digits` is the folder.
    """
    path = Path(source)
    if source not in names():
        near = get_close_matches(path.name, names(), n=1)
        a_model = path.suffix.lower() == ".onnx" or (near and path.parent == Path())
        if path.is_dir() or not (os.path.lexists(path) or a_model):
            return None
    return find_model(source)
