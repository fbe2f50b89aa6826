"""Keep the libraries that kalamos uses from sending anything and from leaving files behind.

onnxruntime from 1.30 on reports to its makers by default: importing it writes a device id into the home
folder, another file into the temporary one, and looks up the collector's host. An environment variable stops
that if it is set before the first import, which is why `import kalamos` sets it, for this process and its
children. A value that is there already is left alone: who sets `ORT_DISABLE_TELEMETRY=0` wants the telemetry.

Matplotlib and PyTorch's compiler create folders when they are imported, Gradio writes into its own; here they
are imported so that these folders are temporary, and Gradio's stays as it is. What kalamos itself writes, and
where, is listed in docs/privacy.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

__all__ = [
    "TelemetryWarning",
    "disable_telemetry",
    "import_gradio",
    "import_matplotlib",
    "import_torch_compiler",
    "temporary_torch_folder",
]

SWITCH: Final = "ORT_DISABLE_TELEMETRY"
"""onnxruntime reads it when its library is loaded; "0" and nothing at all leave the telemetry on."""

FIRST_WITH_TELEMETRY: Final = (1, 30)
"""The first onnxruntime that reports on Linux and macOS. Its builds for Windows have a call that stops it."""


class TelemetryWarning(UserWarning):
    """A library's telemetry is on in this process, and it is too late to switch it off."""


def disable_telemetry() -> None:
    """Switch off onnxruntime's telemetry for this process and its children, before they import it.

    `import kalamos` calls this. A value of `ORT_DISABLE_TELEMETRY` that the user set stays.

    Warns:
        TelemetryWarning: onnxruntime is imported already, with its telemetry on.
    """
    if os.environ.get(SWITCH):
        return
    os.environ[SWITCH] = "1"
    runtime = sys.modules.get("onnxruntime")
    if runtime is None or sys.platform == "win32" or _version(runtime) < FIRST_WITH_TELEMETRY:
        return
    import warnings

    warnings.warn(
        "onnxruntime was imported before kalamos, so its telemetry is on in this process; "
        f"import kalamos first, or set {SWITCH}=1 in the environment before Python starts",
        TelemetryWarning,
        stacklevel=3,  # disable_telemetry, the package kalamos, whoever imports it
    )


def _version(module: object) -> tuple[int, ...]:
    """`(1, 31)` for 1.31.1; an unknown one is taken for new."""
    parts = str(getattr(module, "__version__", "")).split(".")[:2]
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else (sys.maxsize,)


def import_matplotlib() -> None:
    """Import Matplotlib so that it leaves no list of fonts and no settings folder in the home folder.

    Both lie in a temporary folder that is gone when this returns, so each process that draws makes the list
    anew: 0.5 to 0.9 s where 71 fonts are installed. Where the user has a Matplotlib folder (they use it, and
    may have settings), or `MPLCONFIGDIR` names one, or Matplotlib is imported already, nothing is different.

    Raises:
        ImportError: it is not installed.
    """
    if "matplotlib.font_manager" in sys.modules or os.environ.get("MPLCONFIGDIR") or _uses_matplotlib():
        import_module("matplotlib")
        return
    # XDG_CACHE_HOME too: Matplotlib asks fc-list for fonts, and that keeps a list of its own there.
    with _temporary_folder("MPLCONFIGDIR", "XDG_CACHE_HOME"):
        import_module("matplotlib.font_manager")


def _uses_matplotlib() -> bool:
    """Return whether the user's home has a folder of Matplotlib's."""
    from pathlib import Path  # `import kalamos` does without

    try:
        home = Path.home()
    except RuntimeError:  # a user without a home
        return False
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return any(path.is_dir() for path in (home / ".matplotlib", config / "matplotlib", cache / "matplotlib"))


def import_gradio() -> None:
    """Import Gradio without the stubs for editors that it writes beside its own modules.

    It parses the source of each of its components for them at every import, and rewrites those that differ:
    nearly half of the time that the import takes.

    Raises:
        ImportError: it is not installed.
    """
    if "gradio" in sys.modules:
        return
    import inspect

    find_file = inspect.getfile

    def find_other_file(of: Any) -> str:
        if isinstance(of, type) and of.__module__.startswith("gradio."):
            raise OSError("no stubs are asked for")  # as of a class without a file, which Gradio leaves out
        return find_file(of)

    inspect.getfile = find_other_file  # type: ignore[assignment]
    try:
        import_module("gradio")
    finally:
        inspect.getfile = find_file


def import_torch_compiler() -> None:
    """Import PyTorch's compiler, which optimisers and exports bring in, without the folder that it creates.

    Its import creates `torchinductor_USER` in the temporary folder, even where nothing is compiled.
    Code that does compile creates that folder when it needs it, as ever.

    Raises:
        ImportError: PyTorch is not installed.
    """
    if "torch._dynamo" not in sys.modules:
        with temporary_torch_folder():
            import_module("torch._dynamo")


@contextmanager
def temporary_torch_folder() -> Iterator[None]:
    """Give PyTorch's compiler a temporary folder meanwhile, unless `TORCHINDUCTOR_CACHE_DIR` names one.

    Its exporter asks for the folder, and so creates it, without putting anything there that is of use later.
    """
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        yield
        return
    with _temporary_folder("TORCHINDUCTOR_CACHE_DIR"):
        yield


@contextmanager
def _temporary_folder(*variables: str) -> Iterator[None]:
    """Let environment variables name a temporary folder meanwhile; both are as they were afterwards."""
    import tempfile

    before = {name: os.environ.get(name) for name in variables}
    with tempfile.TemporaryDirectory(prefix="kalamos-import-", ignore_cleanup_errors=True) as folder:
        os.environ.update(dict.fromkeys(variables, folder))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
