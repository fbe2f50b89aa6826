"""Putting Gradio's page under the API, without what this page does not need, and each visit's state in it."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from starlette.routing import Mount

from kalamos.app.errors import APIError, Limits
from kalamos.app.page.session import Session
from kalamos.app.page_access import PageGuard
from kalamos.app.visits import (
    MAX_PAGES_PER_VISIT,
    HeldBytes,
    Visit,
    VisitLimits,
    Visits,
    admit_files,
    current_visit,
)
from kalamos.errors import UsageError

if TYPE_CHECKING:
    import gradio

__all__ = ["mount_page"]

_log = logging.getLogger("kalamos.app")

VISITS_FOLDER: Final = "visits"
"""Of the visits, in Gradio's folder for files."""


def mount_page(
    app: FastAPI, page: gradio.Blocks, limits: Limits, visit_limits: VisitLimits | None = None
) -> Callable[[], None]:
    """Mount a page at `/`: no other files, no history, no server of its own, all kept to each one's visit.

    Args:
        app: the application.
        page: its `gr.State(Session())`, where it has one, becomes that of each event's visit.
        limits: bounds on one request.
        visit_limits: bounds on visits; the default ones if None.

    Returns:
        What lets the page's browsers go, which hold a connection open for as long as they show it; called in
        the event loop. Events under way are still worked on.
    """
    from gradio import mount_gradio_app
    from gradio.utils import get_upload_folder

    from kalamos.app.page import page_theme

    page.analytics_enabled = False
    page.queue(max_size=limits.queue)
    folder = Path(os.path.realpath(get_upload_folder()))
    keeping = _Keeping(page, folder)
    visits = Visits(folder / VISITS_FOLDER, visit_limits, ended=keeping.forget_visit)
    keeping.visits = visits
    # Whatever way an event comes, Gradio works on it here, before it opens any of its files.
    page.process_api = keeping.process_api  # type: ignore[assignment, method-assign]
    page.state_session_capacity = visits.limits.visits * MAX_PAGES_PER_VISIT
    mount_gradio_app(
        app,
        page,
        path="/",
        allowed_paths=[],
        footer_links=[],
        run_history=False,
        # Of what nobody foresaw, a visitor learns that it happened; the page says all else itself.
        show_error=False,
        max_file_size=limits.upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **page_theme(),
    )
    visits.published.update(_paths_in(page.config, folder))
    app.add_middleware(
        PageGuard, visits=visits, limits=limits, pending=keeping.pending, forget=keeping.forget_sessions
    )
    # Not `page.close`: it tells whoever waits for an event's answer that the server has stopped, and drops
    # the answer. And of Gradio's several applications it ends the heartbeats of one that is not served.
    served: Any = [route.app for route in app.router.routes if isinstance(route, Mount)][-1]
    end: Callable[[], None] = served.stop_event.set
    return end


class _Keeping:
    """What goes between Gradio's page and the visits."""

    visits: Visits

    def __init__(self, page: gradio.Blocks, folder: Path) -> None:
        self._page = page
        self._folder = folder
        self._queue = page._queue  # noqa: SLF001  (it offers no way to look at it)
        self._process: Callable[..., Awaitable[dict[str, Any]]] = page.process_api

    async def process_api(
        self, block_fn: Any, inputs: Any, state: Any = None, request: Any = None, **options: Any
    ) -> dict[str, Any]:
        """Work on an event as its visit's, and tell the log what goes wrong: Gradio would print it there.

        An event whose values are not what its components take is one line, as other requests are. For what
        goes wrong in the page's own functions, the log has where.
        """
        from gradio import Error

        try:
            return await self._process_for_visit(block_fn, inputs, state, request, **options)
        except Exception as error:
            if _is_about_values(error):
                _log.info("a page event was refused: its values do not fit (%s)", type(error).__name__)
            elif not isinstance(error, Error):  # those the page shows: they are its way to say something
                _log.exception("a page event failed")
            shown = str(error) if isinstance(error, Error) else "something went wrong in the server"
            raise Error(shown, print_exception=False) from error

    async def _process_for_visit(
        self, block_fn: Any, inputs: Any, state: Any, request: Any, **options: Any
    ) -> dict[str, Any]:
        """Work on an event with its visit's files, state and folder alone."""
        visit = _visit_of(request)
        # Once more, right before Gradio opens them: another way in than by the guard finds no file.
        admit_files(inputs, visit)
        if visit is None:
            return await self._process(block_fn, inputs, state=state, request=request, **options)
        session = visit.session
        if session is None:
            session = visit.session = Session(
                _root=visit.folder / "session", _check_room=partial(self._check_room, visit)
            )
        for block in block_fn.inputs:
            if state is not None and isinstance(getattr(block, "value", None), Session):
                state.state_data[block._id] = session  # noqa: SLF001
        visit.busy += 1
        reset = current_visit.set(visit)
        try:
            output = await self._process(block_fn, inputs, state=state, request=request, **options)
        finally:
            current_visit.reset(reset)
            visit.busy -= 1
            visit.touch()
            held = _state_of(request).get("held")
            if isinstance(held, HeldBytes):
                held.release()
        visit.results.update(dict.fromkeys(self._results_in(output.get("data"), visit)))
        return output

    def _check_room(self, visit: Visit) -> None:
        visit.session_bytes = _bytes_in(visit.folder / "session")
        most = self.visits.limits.visit_bytes
        if visit.held_bytes >= most:
            raise UsageError(
                f"this visit holds {most // 2**20:,} MiB of files, as much as it may",
                remedy="read smaller folders, or use `kalamos predict`, which takes any number",
            )

    def _results_in(self, value: Any, visit: Visit) -> Iterator[str]:
        for path in _paths_in(value, self._folder):
            if not path.startswith(f"{self.visits.folder}{os.sep}") or path.startswith(
                f"{visit.folder}{os.sep}"
            ):
                yield path

    def pending(self, session: str) -> int:
        """Events of one of Gradio's sessions whose answer has not been fetched."""
        return len(self._queue.pending_event_ids_session.get(session, ()))

    def forget_sessions(self, sessions: list[str]) -> None:
        """Drop what Gradio keeps of pages that are closed."""
        queue, states = self._queue, getattr(self._page, "state_holder", None)
        for session in sessions:
            if not self.pending(session):
                queue.pending_event_ids_session.pop(session, None)
                queue.pending_messages_per_session.pop(session, None)
            if states is not None:
                states.session_data.pop(session, None)
                states.time_last_used.pop(session, None)

    def forget_visit(self, visit: Visit) -> None:
        """Drop all that is kept of a visit but its folder, which goes after that."""
        queue = self._queue
        for session in visit.pages:
            queue.pending_event_ids_session.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)
        self.forget_sessions(visit.pages)
        if visit.session is not None:
            visit.session.close()
        needed = {path for other in self.visits for path in other.results} | self.visits.published
        for path in set(visit.results) - needed:
            Path(path).unlink(missing_ok=True)
        for files in self._page.temp_file_sets:
            files -= {*visit.uploads, *visit.results}


def _is_about_values(error: Exception) -> bool:
    """Whether an event failed before any function of the page was called."""
    names = {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
    return isinstance(error, APIError) or bool(names & {"preprocess_data", "validate_inputs"})


def _visit_of(request: Any) -> Visit | None:
    """The visit that the guard found for a request; None for what came past it."""
    visit = _state_of(request).get("visit")
    return visit if isinstance(visit, Visit) else None


def _state_of(request: Any) -> dict[str, Any]:
    request = request[0] if isinstance(request, list) and request else request
    scope = getattr(getattr(request, "request", None), "scope", None) or {}
    state: dict[str, Any] = scope.get("state", {})
    return state


def _paths_in(value: Any, folder: Path) -> Iterator[str]:
    """The resolved paths of the files that Gradio gives out with a value."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            path, meta = each.get("path"), each.get("meta")
            if isinstance(path, str) and isinstance(meta, dict) and meta.get("_type") == "gradio.FileData":
                path = os.path.realpath(path)
                if Path(path).is_relative_to(folder):
                    yield path
            stack.extend(each.values())
        elif isinstance(each, list | tuple):
            stack.extend(each)


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
