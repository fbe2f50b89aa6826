"""Put together the page that reads in a browser, without a server: `kalamos export MODEL -f web`.

`page.html`, `page.js`, `worker.js`, `others.bin` and `runtime.wasm.gz` beside this file are built from `web/`
by `make web`; only the models are added here, so neither an install nor an export needs npm.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from kalamos.errors import OutputError
from kalamos.model_file import METADATA_KEY, ModelSpec, read_spec
from kalamos.model_file.protobuf import keep_metadata
from kalamos.preprocessing.ink import INK_FILE
from kalamos.utils.atomic_write import write_bytes
from kalamos.zoo import model_path

__all__ = ["ASSETS", "HOSTED_PAGE", "SINGLE_FILE", "write_page"]

ASSETS: Final = Path(__file__).parent
"""What `make web` builds."""

HOSTED_PAGE, SINGLE_FILE = "index.html", "kalamos.html"

BASE_MODEL: Final = "glyphs"
"""What an alphabet of one's own is taught on, in the page too."""

SAMPLE_LABELS: Final = 3
"""Of a model's alphabet, shown beside its name."""

ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" fill="#0d6b61"/>'
    '<path d="M22 8 24.5 10.5 13.5 21.5 8.5 23.5 10.5 18.5z" fill="#fff8ea"/>'
    '<path d="M8 26h16" stroke="#e9b44c" stroke-width="2"/></svg>'
)


class _Assets(NamedTuple):
    models: Mapping[str, bytes]
    """Compressed files by the name under which the page asks for them."""
    config: Mapping[str, object]

    def of_page(self) -> dict[str, bytes]:
        """All that the script asks for, by name."""
        runtime = (ASSETS / "runtime.wasm.gz").read_bytes()
        return {
            **self.models,
            "assets/glyphs.onnx.gz": _compress_model(model_path(BASE_MODEL)),
            "assets/others.bin.gz": _compress((ASSETS / "others.bin").read_bytes()),
            "assets/ink.onnx.gz": _compress(INK_FILE.read_bytes()),
            "assets/runtime.wasm.gz": runtime,
        }


def write_page(models: Sequence[Path], folder: Path) -> list[Path]:
    """Write the page for some models: a folder for any static host, and one file that opens from disk.

    Args:
        models: model files, in the order in which the page offers them; the first is chosen when it opens.
        folder: made where it is missing; files of these names in it are replaced.

    Returns:
        The files written: `kalamos.html`, which holds everything, then those of the hosted form, its
        `index.html` last.

    Raises:
        ModelFileError: one of them is no model file.
        OutputError: the folder cannot be written.

    >>> import tempfile
    >>> from kalamos.zoo import model_path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_page([model_path("digits")], Path(folder))
    >>> written[0].name, written[-1].name
    ('kalamos.html', 'index.html')
    """
    assets = _gather(models)
    template, script = (ASSETS / "page.html").read_text("utf-8"), (ASSETS / "page.js").read_text("utf-8")
    contents = {
        SINGLE_FILE: _single_file(template, script, assets).encode(),
        **_hosted(template, script, assets),
    }
    written = []
    for name, content in contents.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent}: {error.strerror}", remedy="name another folder") from error
        write_bytes(path, content)
        written.append(path)
    return written


def _gather(models: Sequence[Path]) -> _Assets:
    files, listed = {}, []
    for row, path in enumerate(models):
        spec = read_spec(path)
        asset = f"assets/model-{row}.onnx.gz"
        files[asset] = _compress_model(path)
        listed.append(
            {"name": f"{row}-{spec.name}", "title": spec.name, "sample": _sample(spec), "asset": asset}
        )
    config = {
        "models": listed,
        "base": {"model": "assets/glyphs.onnx.gz", "others": "assets/others.bin.gz"},
        "ink": "assets/ink.onnx.gz",
        "runtime": "assets/runtime.wasm.gz",
        "worker": "worker.js",
    }
    return _Assets(files, config)


def _sample(spec: ModelSpec) -> str:
    """A few labels: letters rather than digits, where there are both."""
    labels = spec.alphabet.labels
    letters = [label for label in labels if not label.isdecimal()] or labels
    return " ".join(letters[:SAMPLE_LABELS]) + (" …" if len(letters) > SAMPLE_LABELS else "")


def _compress_model(path: Path) -> bytes:
    """Compress a model without what it remembers for `kalamos teach`: the page teaches by the base alone."""
    return _compress(keep_metadata(path.read_bytes(), METADATA_KEY))


def _compress(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _single_file(template: str, script: str, assets: _Assets) -> str:
    """Everything in one page, which may ask for nothing."""
    embedded = "\n".join(
        f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode()}</script>'
        for name, content in assets.of_page().items()
    )
    # Within a page, a script ends at the first "</script", wherever that stands.
    inline = script.replace("</script", "<\\/script")
    policy = (
        f"default-src 'none'; script-src {_hash(inline)} 'wasm-unsafe-eval'; "
        f"style-src {_style_hash(template)}; img-src data: blob:; media-src blob: mediastream:"
    )
    return _filled(
        template,
        policy=policy,
        assets=f"{_config({**assets.config, 'worker': None})}\n{embedded}",
        script=f"<script>{inline}</script>",
    )


def _hosted(template: str, script: str, assets: _Assets) -> dict[str, bytes]:
    """The files of the page on a host, by their paths in the folder."""
    policy = (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; manifest-src 'self'; "
        f"style-src {_style_hash(template)}; img-src 'self' data: blob:; media-src blob: mediastream:; "
        "connect-src 'self'"
    )
    page = _filled(
        template,
        policy=policy,
        links='<link rel="manifest" href="app.webmanifest">',
        assets=_config(assets.config),
        script='<script src="page.js" defer></script>',
    )
    manifest = {
        "name": "kalamos",
        "short_name": "kalamos",
        "start_url": "./",
        "display": "standalone",
        "background_color": "#f5f1e8",
        "theme_color": "#0d6b61",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any maskable"}],
    }
    files = {
        **assets.of_page(),
        "LICENCES.txt": (ASSETS / "LICENCES.txt").read_bytes(),
        "page.js": script.encode(),
        "icon.svg": ICON.encode(),
        "app.webmanifest": json.dumps(manifest).encode(),
    }
    whole = {**files, HOSTED_PAGE: page.encode()}
    digest = hashlib.sha256()
    for name, content in whole.items():
        digest.update(name.encode())
        digest.update(content)
    worker = (ASSETS / "worker.js").read_text("utf-8")
    worker = worker.replace("%VERSION%", digest.hexdigest()[:16])
    worker = worker.replace("%FILES%", json.dumps(["./", *files]))
    return {**files, "worker.js": worker.encode(), HOSTED_PAGE: page.encode()}


def _filled(template: str, *, policy: str, assets: str, script: str, links: str = "") -> str:
    for name, text in (
        ("%POLICY%", html.escape(policy, quote=True)),
        ("%LINKS%", links),
        ("%ASSETS%", assets),
        ("%SCRIPT%", script),
    ):
        before, _, after = template.partition(name)
        template = before + text + after
    return template


def _config(config: Mapping[str, object]) -> str:
    text = json.dumps(config, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="config">{text}</script>'


def _style_hash(template: str) -> str:
    return _hash(template.partition("<style>")[2].partition("</style>")[0])


def _hash(text: str) -> str:
    """A text as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
