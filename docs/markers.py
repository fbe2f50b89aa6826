"""Generated parts of a Markdown page stand between `<!-- NAME -->` and `<!-- /NAME -->`."""

from __future__ import annotations


def replace_part(text: str, name: str, content: str) -> str:
    r"""The page with the part between its markers replaced.

    >>> replace_part("a <!-- x -->old<!-- /x --> b", "x", "new")
    'a <!-- x -->\nnew\n<!-- /x --> b'
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise SystemExit(f"the page lacks the markers {begin} and {end}")
    return f"{head}{begin}\n{content}\n{end}{tail}"
