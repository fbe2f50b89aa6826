"""The one gate that every file a request names has to pass."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from kalamos.app.refusals import APIError
from kalamos.app.visits import Visit

__all__ = ["FILE_ROUTE", "admit_files", "base_name"]

FILE_ROUTE: Final = "/gradio_api/file="

MAX_FILE_NAME_CHARACTERS: Final = 255
"""Characters of a file's name, as most file systems have it."""


def admit_files(value: Any, visit: Visit | None, *, host: str | None = None) -> None:
    """Check, in place, every file that a value names, whatever component it is for and however deep it lies.

    An object with a `path` or a `url` names a file, whatever else it has or lacks. The file has to be one
    that `visit` uploaded, or was given by an event of its own: looked up in the server's own record of them,
    by its resolved path. What passes is written anew: `path` as the record has it, `url` none, so that
    nothing is ever fetched, and `orig_name` a plain name.

    Args:
        value: what came with a request, as parsed from JSON.
        visit: whose request it is; None for nobody's, who may name no file.
        host: the request's `Host`, which a `url` may name; None where no `url` may name any.

    Raises:
        APIError: 403, the first file that is not the visit's.
    """
    stack = [value]
    while stack:  # without recursion, which has its limit
        each = stack.pop()
        if isinstance(each, dict):
            if each.get("path") is not None or each.get("url") is not None:
                _admit(each, visit, host)
            stack.extend(each.values())
        elif isinstance(each, list | tuple):
            stack.extend(each)


def _admit(file: dict[str, Any], visit: Visit | None, host: str | None) -> None:
    path = None if visit is None else visit.own_path(file.get("path"))
    if path is None:
        raise APIError(403, "not_yours", "this file is not one that was uploaded from this browser")
    url = file.get("url")
    if url and (not isinstance(url, str) or not _is_own_url(url, visit, host)):
        raise APIError(403, "foreign_url", "files of other servers are not fetched")
    file["path"] = path
    if "url" in file:
        file["url"] = None
    name = file.get("orig_name")
    if name is not None:
        file["orig_name"] = base_name(name) if isinstance(name, str) else None


def _is_own_url(url: str, visit: Visit | None, host: str | None) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    _, marked, path = parts.path.partition(FILE_ROUTE)
    own = visit is not None and marked and (visit.own_path(path) or visit.own_path(unquote(path)))
    return bool(own) and parts.scheme in {"", "http", "https"} and parts.netloc in {"", host}


def base_name(name: str) -> str:
    r"""Return the last part of the name that a browser gave a file, cut to `MAX_FILE_NAME_CHARACTERS`.

    >>> base_name("C:\\scans\\7.png"), base_name("../../etc/passwd"), base_name("..")
    ('7.png', 'passwd', 'file')
    """
    last = PurePosixPath(name.replace("\\", "/").replace("\0", "")).name
    return last[-MAX_FILE_NAME_CHARACTERS:] if last not in {"", ".", ".."} else "file"
