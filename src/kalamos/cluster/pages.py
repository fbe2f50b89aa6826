"""`kalamos read` and `kalamos forms read` with `--engine ray`: a task a page, results in the input's order.

A page takes a good part of a second, so each is sent out by itself, without Ray Data's blocks. A worker opens
its models once. A task whose worker dies is done again by another.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from kalamos._version import __version__
from kalamos.cluster import chdir_if_exists, check_version, typed_error
from kalamos.cluster.session import check_address, connected, require_ray, uninterrupted
from kalamos.forms.filled import FilledForm
from kalamos.forms.reader import FormReader
from kalamos.forms.template import FormTemplate
from kalamos.inputs import Item
from kalamos.model_file import open_model
from kalamos.pages import Page
from kalamos.pages.page import LayoutOption
from kalamos.pages.reader import PageReader
from kalamos.parallel import default_jobs
from kalamos.predict_options import PredictOptions
from kalamos.recognizer import Recognizer

if TYPE_CHECKING:
    from ray import ObjectRef

__all__ = ["FormWork", "PageWork", "read_on_ray"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

PAGES_AHEAD_PER_WORKER: Final = 3
"""Pages sent out and not fetched yet, for each worker: enough that none waits, few that memory stays flat."""

CANCEL_SECONDS: Final = 5.0
"""For the tasks of a run that is cut short to end."""

MAX_RETRIES: Final = 3
"""Of a page whose worker died. A page that kills its workers ends the run."""


class Work(Protocol[T_co]):
    """What the workers do with each item; sent to them once."""

    def start(self) -> Callable[[Item], T_co]:
        """Open models on a worker; return what reads one item there."""


@dataclass(frozen=True)
class PageWork:
    """Read each item as a page. The model's file need not be on the workers' machines."""

    model: bytes = field(repr=False)
    options: PredictOptions
    layout: LayoutOption
    pictures: bool
    """Whether the pages' pictures come back, for overlays."""

    def start(self) -> Callable[[Item], Page]:
        reader = PageReader(Recognizer(open_model(self.model, threads=1)), self.options, layout=self.layout)

        def read(item: Item) -> Page:
            page = reader.try_read(item)
            return page if self.pictures else replace(page, image=None)

        return read


@dataclass(frozen=True)
class FormWork:
    """Read each item as a form of one page; `kalamos.forms.reader.join_sheets` puts pages together.

    The template lies in a folder that all machines share, as scans do.
    """

    template: str
    certainty: float | None
    pictures: bool
    """Whether the scans' pictures come back, for overlays and thumbnails."""

    def start(self) -> Callable[[Item], FilledForm]:
        reader = FormReader(FormTemplate.load(Path(self.template)), certainty=self.certainty)

        def read(item: Item) -> FilledForm:
            form = reader.read(item)
            return form if self.pictures else form.without_pictures()

        return read


def read_on_ray(
    work: Work[T], items: Iterable[Item], *, jobs: int | None = None, address: str | None = None
) -> Generator[T, None, None]:
    """Yield what workers of a Ray cluster read of each item, in order; memory stays flat.

    Args:
        items: as `kalamos.inputs.InputSearch` finds them. The workers open paths themselves.
        jobs: pages at once; None takes one for each processor of the cluster.
        address: of a running cluster; None starts one on this machine, and ends it.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: no cluster at that address.
        KalamosError: a worker has another version of kalamos, or the cluster failed.
    """
    require_ray()
    if address is not None:
        check_address(address)
    with connected(address, jobs or default_jobs()) as processors:
        import ray

        task = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_read_one)  # type: ignore[call-overload, unused-ignore]
        # In a list, a reference stays one: a worker fetches the work once, not for each page.
        sent = [ray.put(work)]
        started = _Started(uuid.uuid4().hex, str(Path.cwd()), __version__)
        ahead = PAGES_AHEAD_PER_WORKER * (jobs or processors)
        pending: deque[ObjectRef] = deque()  # type: ignore[type-arg, unused-ignore]
        try:
            for item in items:
                pending.append(task.remote(started, sent, item))
                if len(pending) >= ahead:
                    yield ray.get(pending.popleft())
            while pending:
                yield ray.get(pending.popleft())
        except ray.exceptions.RayError as error:
            raise typed_error(error) from error
        finally:
            _cancel(pending)


def _cancel(pending: deque[ObjectRef]) -> None:  # type: ignore[type-arg, unused-ignore]
    """Cancel tasks and wait for them: `ray.shutdown` crashes at times if answers come in meanwhile."""
    import ray

    if not pending:
        return
    with uninterrupted():
        for task in pending:
            ray.cancel(task, force=True)
        ray.wait([*pending], num_returns=len(pending), timeout=CANCEL_SECONDS, fetch_local=False)
        pending.clear()


@dataclass(frozen=True)
class _Started:
    """What a worker has to know before it starts: which run this is, from where, and of which version."""

    run: str
    folder: str
    version: str


_reading: dict[str, Callable[[Item], Any]] = {}
"""On a worker: a run's name -> what reads its items. Of the latest run alone, as models take memory."""


def _read_one(started: _Started, sent: list[Any], item: Item) -> Any:
    import ray

    if started.run not in _reading:
        check_version(started.version)
        # The other workers already fill the processors.
        import cv2

        cv2.setNumThreads(1)
        chdir_if_exists(started.folder)
        _reading.clear()
        _reading[started.run] = ray.get(sent[0]).start()
    return _reading[started.run](item)
