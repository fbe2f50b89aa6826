"""Bearer tokens (RFC 6750): where the server gets them from, and who may ask."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kalamos.app.errors import APIError, error_response
from kalamos.app.security import local_path
from kalamos.errors import UsageError

__all__ = ["OPEN_PATHS", "TOKEN_VARIABLE", "TokenGuard", "read_tokens"]

TOKEN_VARIABLE: Final = "KALAMOS_TOKEN"  # noqa: S105  (a variable's name)
"""The environment variable with a token."""

MIN_TOKEN_CHARACTERS: Final = 16
"""Fewer could be guessed, since nothing here counts wrong ones."""

MAX_TOKEN_FILE_BYTES: Final = 64 * 1024

OPEN_PATHS: Final = frozenset({"/health"})
"""Answered to anyone: what looks whether the server lives, a container or a balancer, has no token."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_REMEDY: Final = """make one with: python -c "import secrets; print(secrets.token_urlsafe(32))\""""


def read_tokens(
    path: str | os.PathLike[str] | None, environment: MutableMapping[str, str]
) -> tuple[str, ...]:
    """Return the tokens that are accepted: none if neither place has one, which leaves the server open.

    Args:
        path: a file with a token a line, so that an old and a new one are good at once while clients change;
            empty lines and those that begin with `#` are passed over.
        environment: from which `KALAMOS_TOKEN` is taken away, so that no child process inherits it.

    Raises:
        UsageError: both name tokens, the file cannot be read or holds none, or a token is too short or not
            one that a header can have.

    >>> read_tokens(None, {"KALAMOS_TOKEN": "correct-horse-battery-staple"})
    ('correct-horse-battery-staple',)
    >>> read_tokens(None, {"KALAMOS_TOKEN": "secret"})
    Traceback (most recent call last):
    kalamos.errors.UsageError: the token of KALAMOS_TOKEN has fewer than 16 characters; make one with: ...
    """
    given = environment.pop(TOKEN_VARIABLE, None)
    if given is not None and path is not None:
        raise UsageError(
            f"there are tokens in {TOKEN_VARIABLE} and in --token-file", remedy="leave out one of them"
        )
    if path is None:
        return () if given is None else (_checked(given.strip(), TOKEN_VARIABLE),)
    where = os.fspath(path)
    lines = [line.strip() for line in _text_of(Path(path)).splitlines()]
    tokens = tuple(_checked(line, where) for line in lines if line and not line.startswith("#"))
    if not tokens:
        raise UsageError(f"{where}: holds no token", remedy=_REMEDY)
    return tokens


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOKEN_FILE_BYTES + 1)
        if len(content) <= MAX_TOKEN_FILE_BYTES:
            return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"{path}: the tokens cannot be read ({reason})", remedy="give a text file with a token a line"
        ) from error
    raise UsageError(f"{path}: is too large for a file of tokens", remedy="give a text file, a token a line")


def _checked(token: str, where: str) -> str:
    """Return a token that is good; no message says what it is."""
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise UsageError(
            f"the token of {where} has fewer than {MIN_TOKEN_CHARACTERS} characters", remedy=_REMEDY
        )
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f"the token of {where} has other characters than letters, digits and -._~+/", remedy=_REMEDY
        )
    return token


class TokenGuard:
    """ASGI middleware: only `/health` is answered without `Authorization: Bearer` and one of the tokens.

    Args:
        app: what is guarded.
        tokens: as `read_tokens` gives them; none to guard nothing.
    """

    def __init__(self, app: ASGIApp, *, tokens: Iterable[str]) -> None:
        self._app = app
        self._digests = [_digest(token) for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._digests or scope["type"] == "lifespan" or local_path(scope) in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist("authorization")
        if len(given) == 1 and self._is_good(given[0]):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            error = _refusal(given)
            await error_response(error, scope["state"]["request_id"])(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _is_good(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        digest = _digest(token.strip())
        # All are compared, each in constant time: how long it takes tells nothing of a token.
        matches = [hmac.compare_digest(digest, each) for each in self._digests]
        return scheme.lower() == "bearer" and any(matches)


def _digest(token: str) -> bytes:
    """Return a digest of constant length: else the comparison would tell a token's."""
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()


def _refusal(given: list[str]) -> APIError:
    challenge = 'Bearer realm="kalamos"'
    if given:
        challenge += ', error="invalid_token"'
    return APIError(
        401,
        "unauthorized",
        "the request's token is not one of this server's" if given else "the request has no token",
        remedy="send the header: Authorization: Bearer TOKEN",
        headers={"WWW-Authenticate": challenge},
    )
