"""`/docs`: the OpenAPI document as one page that asks nothing of any other server."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from kalamos.app.limits import Limits

__all__ = ["openapi_html", "requested_address"]

DOCS_STYLE = """
:root { color-scheme: light dark } body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em;
margin: 2em auto; padding: 0 1em } h2 { margin-top: 2em } code, pre { font: 14px/1.5 ui-monospace, monospace }
pre { overflow-x: auto; padding: .8em; border: 1px solid #8886; border-radius: 4px }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top;
padding: .3em .8em .3em 0; border-top: 1px solid #8886 } form { padding: 1em; border: 1px solid #8886;
border-radius: 4px } label { display: inline-block; margin: 0 1em .5em 0 }
"""

CURL_EXAMPLES = """\
curl -F image=@7.png ADDRESS/v1/predict
curl -F image=@7.png -F image=@8.png -F top_k=1 -F charset=digits ADDRESS/v1/predict
curl --json '{"image": "'"$(base64 < 7.png | tr -d '\\n')"'"}' ADDRESS/v1/predict"""

TRY_FORM_HTML = """
<form method="post" action="/v1/predict" enctype="multipart/form-data">
<label>Images <input type="file" name="image" accept="image/*" multiple required></label>
<label>top_k <input type="number" name="top_k" value="5" min="1" size="4"></label>
<button>Read</button></form>
"""


# What a shell takes as it is: the examples are pasted.
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def requested_address(scope: Scope) -> str:
    """The address that a request called the server by: through a proxy, the proxy's where it passes it on.

    Of what a proxy says, `Host` and `X-Forwarded-Proto` are looked at. Only who asks is shown it.

    >>> requested_address({"scheme": "http", "headers": [(b"host", b"localhost:8000")]})
    'http://localhost:8000'
    >>> requested_address({"scheme": "http", "headers": [(b"host", b"a;reboot")], "server": ("::1", 8000)})
    'http://[::1]:8000'
    """
    headers = Headers(scope=scope)
    scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http"))
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        name, port = scope.get("server") or ("127.0.0.1", 7860)
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return f"{'https' if scheme == 'https' else 'http'}://{host}"


def openapi_html(document: dict[str, Any], limits: Limits, address: str = "http://127.0.0.1:7860") -> str:
    """HTML of an OpenAPI document: the routes, their answers, the schemas, the limits and a form to try.

    Args:
        document: of OpenAPI.
        limits: what requests are held to.
        address: of the server, for the examples.

    >>> page = openapi_html({"info": {"title": "T", "version": "1"}, "paths": {}}, Limits())
    >>> "<h1>T 1</h1>" in page, "http-equiv" in page
    (True, False)
    """
    info = document["info"]
    title = html.escape(f"{info['title']} {info['version']}")
    routes = "".join(
        _route(method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    schemas = "".join(
        _schema(name, schema) for name, schema in document.get("components", {}).get("schemas", {}).items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{DOCS_STYLE}</style><h1>{title}</h1><p>{_text(info.get('description', ''))}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
        f"<h2>Try it</h2>{TRY_FORM_HTML}<pre>{html.escape(CURL_EXAMPLES.replace('ADDRESS', address))}</pre>"
        f"<h2>Limits</h2>{_limits(limits)}{routes}<h2>Schemas</h2>{schemas}</html>"
    )


def _limits(limits: Limits) -> str:
    return (
        f"<p>A request may hold {limits.upload_bytes:,} bytes and {limits.images:,} images of "
        f"{limits.pixels:,} pixels each. It has {limits.seconds:g} s to arrive and {limits.seconds:g} s to "
        f"be read. {limits.queue:,} images may wait.</p>"
    )


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        (f"<code>{status}</code>", _text(answer.get("description", "")), _content(answer.get("content", {})))
        for status, answer in operation.get("responses", {}).items()
    ]
    body = operation.get("requestBody", {}).get("content", {})
    asked = "".join(
        f"<p>Body: <code>{html.escape(kind)}</code>, {_kind(content['schema'])}"
        for kind, content in body.items()
    )
    return (
        f"<h2><code>{method} {html.escape(path)}</code></h2><p>{_text(operation.get('description', ''))}</p>"
        f"{asked}<h3>Answers</h3>{_table(('status', 'meaning', 'content'), rows)}"
    )


def _content(content: dict[str, Any]) -> str:
    return ", ".join(
        f"{html.escape(kind)}: {_kind(told.get('schema', {}))}" for kind, told in content.items()
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    told = f"<p>{_text(schema['description'])}</p>" if "description" in schema else ""
    return f'<h3 id="{html.escape(name)}">{html.escape(name)}</h3>{told}{_fields(schema)}'


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (
            f"<code>{html.escape(name)}</code>{'' if name in required else ' (optional)'}",
            _kind(field),
            _text(field.get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return _table(("field", "type", "meaning"), rows)


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words, with a link where it has a name."""
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "items" in schema:
        return f"array of {_kind(schema['items'])}"
    words = [schema.get("format", schema.get("type", "any"))]
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    words += [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return html.escape(", ".join(map(str, words)))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{name}" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f'<div class="wide"><table><tr>{head}{body}</table></div>'


@lru_cache(maxsize=256)
def _text(text: str) -> str:
    """Escaped, with `code` between backticks."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
