"""`/docs`: the OpenAPI document as one page, without scripts, that asks nothing of any other server.

Swagger UI, as fastapi-offline serves it, would need scripts allowed and 2.8 MB, and asks
validator.swagger.io for a badge; it has neither the limits nor examples with this server's address.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup, escape
from starlette.datastructures import Headers
from starlette.types import Scope

from kalamos.app.errors import Limits

__all__ = ["openapi_html", "requested_address"]

# Only what a shell takes as it is: people paste the examples.
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

_BOUND_WORDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}


def requested_address(scope: Scope) -> str:
    """Return the address that a request called the server by; behind a proxy, the proxy's if it passes it on.

    Of what a proxy says, `Host` and `X-Forwarded-Proto` are used. Only the client that sent them sees them.

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
    """Return an OpenAPI document as HTML: routes, answers, schemas, limits, and a form to try it.

    Args:
        document: of OpenAPI.
        limits: of requests.
        address: of the server, for the examples.

    >>> page = openapi_html({"info": {"title": "T", "version": "1"}, "paths": {}}, Limits())
    >>> "<h1>T 1</h1>" in page, "http-equiv" in page
    (True, False)
    """
    return _template().render(
        info=document["info"],
        paths=document["paths"],
        schemas=document.get("components", {}).get("schemas", {}),
        bounds=_BOUND_WORDS,
        limits=limits,
        address=address,
    )


@cache
def _template() -> Template:
    loader = PackageLoader("kalamos.app", "assets")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _with_code
    return environment.get_template("docs.html")


def _with_code(text: object) -> Markup:
    """Escape a text, and set what stands between backticks as code."""
    parts = str(text or "").split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )
