"""Dynamic batching: images of many requests read together, in threads for each model; the model cache."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from kalamos.app.errors import APIError, Limits
from kalamos.app.requests import UploadedImage, too_busy
from kalamos.errors import ImageError, ImageTooLargeError, ModelNotFoundError, suggest
from kalamos.images.decoding import decode_grey, decode_harmless
from kalamos.inputs.item import LARGE_BYTES, LARGE_PIXELS
from kalamos.model_file import ModelSpec, read_spec
from kalamos.parallel import default_jobs
from kalamos.predict_options import PredictOptions
from kalamos.predictions import Prediction
from kalamos.recognizer import CHUNK, Recognizer, load
from kalamos.zoo import find_model, model_path, names

__all__ = ["BatchScheduler", "ClientWatcher", "ModelRegistry"]


TARGET_BATCH_SECONDS: Final = 0.5
"""About what a batch may take: a request of a slow model waits for one batch of others', and one that is
given up is worked on for no longer."""

FIRST_BATCH_IMAGES: Final = 16
"""Images of the first batch, before it is known how long they take."""

MAX_PHOTOGRAPHS_AT_ONCE: Final = 8
"""Photographs that are read at once, of all models; but one of each in any case."""

WATCH_AFTER_SECONDS: Final = 0.2
"""From then on a request's client is watched."""

DECODING_TIME_FRACTION: Final = 0.8
"""Of the time for a request, which one image's decoding may take: then it is a row with an error."""

THREAD_JOIN_SECONDS: Final = 1.0
"""For the threads to end."""


class ModelRegistry:
    """Models by name. Safe to share between threads; a model is opened once, and then kept.

    Args:
        models: shipped models' names and model files; the first is the default. None takes every shipped
            model. A file is called by its name without the suffix, with a number if that is taken.

    Raises:
        ModelNotFoundError: neither a shipped model nor a file.
        ModelError: a file is not a kalamos model.

    >>> registry = ModelRegistry(["digits"])
    >>> registry.default, registry.names()
    ('digits', ('digits',))
    >>> registry.get("digits") is registry.get("digits")
    True
    >>> registry.get("digit")
    Traceback (most recent call last):
    kalamos.errors.ModelNotFoundError: no model is called 'digit'; did you mean 'digits'?
    """

    def __init__(self, models: Iterable[str | os.PathLike[str]] | None = None) -> None:
        self._opening: dict[str, threading.Lock] = {}
        self._paths: dict[str, Path] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._readers: dict[str, Recognizer] = {}
        chosen = list(names() if models is None else models)
        if not chosen:
            raise ModelNotFoundError(
                "no model is given", remedy=suggest("", names(), otherwise="name one of")
            )
        for model in chosen:
            self._enter(find_model(model))
        # The digits first: what most people draw.
        self.default = "digits" if models is None else next(iter(self._paths))

    def names(self) -> tuple[str, ...]:
        """Return all names, in the order the models were given."""
        return tuple(self._paths)

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def spec(self, name: str) -> ModelSpec:
        """Return what a model says about itself, without opening it.

        Raises:
            ModelNotFoundError: no model has this name.
        """
        self._check(name)
        return self._specs[name]

    def is_shipped(self, name: str) -> bool:
        """Tell whether a model is one of those that come with kalamos, and have a card.

        Raises:
            ModelNotFoundError: no model has this name.
        """
        self._check(name)
        return name in names() and self._paths[name] == model_path(name).resolve()

    def get(self, name: str) -> Recognizer:
        """Return the model, opened if this is the first time.

        Raises:
            ModelNotFoundError: no model has this name.
            ModelError: the file must not be used.
        """
        if name not in self._readers:
            self._check(name)
            # A lock for each model: opening a large one must not hold up those that are open.
            with self._opening[name]:
                if name not in self._readers:
                    self._readers[name] = load(self._paths[name])
        return self._readers[name]

    def _enter(self, path: Path) -> None:
        spec, path = read_spec(path), path.resolve()
        if path in self._paths.values():
            return
        name, number = path.stem, 2
        while name in self._paths:
            name, number = f"{path.stem}-{number}", number + 1
        self._paths[name], self._specs[name], self._opening[name] = path, spec, threading.Lock()

    def _check(self, name: str) -> None:
        if name not in self._paths:
            raise ModelNotFoundError(f"no model is called {name!r}", remedy=suggest(name, self.names()))


@dataclass(eq=False, slots=True)
class _Request:
    """A request that waits for its images."""

    options: PredictOptions
    """Images with equal ones are read together."""
    answers: list[Prediction | None]
    done: asyncio.Future[None]
    items: list[_Item] = field(default_factory=list)
    left: int = 0
    """Images that are not answered yet."""
    heavy_under_way: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    """Set once it is given up."""


@dataclass(eq=False, slots=True)
class _Item:
    """One image of a request."""

    request: _Request
    place: int
    upload: UploadedImage
    begun: bool = False
    """Set by the thread that works on it."""
    counted: bool = True
    """Whether it is among those that wait."""

    def is_given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.request.done.done()


class _GivenUpError(Exception):
    """Stands for the answer to an image that nobody waits for any more."""


class _TooHeavyError(Exception):
    """Stands for the answer to an image that is to be read beside the others."""


Answered = tuple[_Item, Prediction | Exception]


class BatchScheduler:
    """Answers requests for images, and says so when there are too many. For one event loop.

    Decoding, preprocessing and the model run in threads, which each model has for itself: a slow model holds
    up nobody else's. What is quickly read goes through one thread, many images at a time; a photograph goes
    through others, so that nobody waits behind it. Requests take turns, and one that has given up, or whose
    client has gone, is worked on no more.
    """

    def __init__(self, registry: ModelRegistry, limits: Limits) -> None:
        self.registry = registry
        self.limits = limits
        self._workers: dict[str, _Worker] = {}
        self.waiting = 0
        """Images that wait or are being read."""
        self.heavy_under_way = 0
        """Photographs that are being read, of all models."""

    def admit(self, images: int = 1) -> None:
        """Raise an `APIError` (429) if the queue has no room for so many images."""
        if self.waiting + images > self.limits.queue:
            raise too_busy(f"{self.waiting:,} of {self.limits.queue:,} places in the queue are taken")

    async def read(
        self,
        model: str,
        uploads: Sequence[UploadedImage],
        options: PredictOptions,
        receive: Receive | None = None,
    ) -> list[Prediction]:
        """Return one prediction per image, in order; one that cannot be read carries its error.

        Args:
            model: a name in the registry.
            uploads: the images.
            options: how to answer.
            receive: the request's ASGI channel, which tells when the client goes away.

        Raises:
            APIError: 429 the queue is full, 504 it took too long.
            ModelError: the model cannot be opened.
            ClientDisconnect: nobody waits for the answer.
        """
        self.admit(len(uploads))
        loop = asyncio.get_running_loop()
        request = _Request(options, [None] * len(uploads), loop.create_future(), left=len(uploads))
        request.items = [_Item(request, place, upload) for place, upload in enumerate(uploads)]
        worker = self._workers.get(model)
        if worker is None:
            worker = self._workers[model] = _Worker(self, model, loop)
        self.waiting += len(uploads)
        worker.add(request)
        watcher = None if receive is None else ClientWatcher(loop, request.done, receive)
        try:
            async with asyncio.timeout(self.limits.seconds):
                await request.done
        except TimeoutError:
            raise APIError(
                504,
                "too_long",
                f"the images could not be read within {self.limits.seconds:g} s",
                remedy="send fewer or smaller images at once, or try again later",
            ) from None
        finally:
            if watcher is not None:
                watcher.end()
            if request.left:
                self._give_up(request)
        return [answer for answer in request.answers if answer is not None]

    def _give_up(self, request: _Request) -> None:
        """Count out what has not been begun; the threads see that the rest is given up."""
        request.done.cancel()
        request.stop.set()
        for item in request.items:
            if item.counted and not item.begun:
                item.counted = False
                self.waiting -= 1

    def deliver(self, answered: Sequence[Answered]) -> None:
        """Hand out answers; called in the event loop."""
        for item, answer in answered:
            if item.counted:
                item.counted = False
                self.waiting -= 1
            request = item.request
            request.left -= 1
            if request.done.done():  # given up, or another image has failed it
                continue
            if isinstance(answer, Exception):
                request.done.set_exception(answer)
                continue
            request.answers[item.place] = answer
            if not request.left:
                request.done.set_result(None)

    async def close(self) -> None:
        """End the threads; one that is inside a model run is left to itself."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for worker in self._workers.values():
            worker.end()
        end = time.monotonic() + THREAD_JOIN_SECONDS
        for worker in self._workers.values():
            for thread in worker.threads:
                thread.join(max(0.0, end - time.monotonic()))


class ClientWatcher:
    """Tells a future when the client goes away; only of a request that takes a while, as looking costs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None], receive: Receive) -> None:
        self._done = done
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self._timer = loop.call_later(WATCH_AFTER_SECONDS, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._done.done():
            self._done.set_exception(ClientDisconnect())

    def end(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


class _Worker:
    """The threads of one model.

    Requests gather in the event loop while a batch is read, and the thread is woken once a batch: each time
    costs a wait for the interpreter's lock.
    """

    def __init__(self, scheduler: BatchScheduler, model: str, loop: asyncio.AbstractEventLoop) -> None:
        self.scheduler, self.model, self.loop = scheduler, model, loop
        self._gathered: deque[deque[_Item]] = deque()
        """What is quickly read, a queue for each request."""
        self._under_way = False
        self._most = FIRST_BATCH_IMAGES
        """Images a batch, so that none takes much longer than `TARGET_BATCH_SECONDS`."""
        self._batches: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._heavy: deque[deque[_Item]] = deque()
        self._heavy_under_way = 0
        self._photographs: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []
        self._start(self._work, "")

    def _start(self, target: Callable[[], None], kind: str) -> None:
        # A daemon, so that a model run that hangs does not keep the process from ending.
        thread = threading.Thread(target=target, name=f"kalamos-{self.model}{kind}", daemon=True)
        self.threads.append(thread)
        thread.start()

    def add(self, request: _Request) -> None:
        """Queue a request. Called in the event loop, as are the methods below up to `_work`."""
        quick: deque[_Item] = deque()
        heavy: deque[_Item] = deque()
        for item in request.items:
            content = item.upload.content
            # A character's crop is read among others, a photograph beside them.
            is_crop = not isinstance(content, bytes) or len(content) <= LARGE_BYTES
            (quick if is_crop else heavy).append(item)
        if heavy:
            self._heavy.append(heavy)
            self._begin_heavy()
        if quick:
            self._gathered.append(quick)
            if not self._under_way:
                self._under_way = True
                # What else has come by now is taken along.
                self.loop.call_soon(self._hand_over)

    def end(self) -> None:
        self._batches.put(None)
        for _ in self.threads[1:]:
            self._photographs.put(None)

    def _hand_over(self) -> None:
        batch: list[_Item] = []
        given_up: list[Answered] = []
        while self._gathered and len(batch) < self._most:
            items = self._gathered.popleft()
            if items[0].is_given_up():
                given_up += [(item, _GivenUpError()) for item in items]
                continue
            # Each request in its turn, an image at a time if there are several requests.
            count = self._most - len(batch) if not self._gathered else 1
            while items and count:
                batch.append(items.popleft())
                count -= 1
            if items:
                self._gathered.append(items)
        self.scheduler.deliver(given_up)
        self._under_way = bool(batch)
        if batch:
            self._batches.put(batch)

    def _take_back(self, answered: Sequence[Answered], seconds_each: float | None) -> None:
        if seconds_each is not None:
            self._most = max(1, min(CHUNK, int(TARGET_BATCH_SECONDS / max(seconds_each, 1e-6))))
        heavy = [item for item, answer in answered if isinstance(answer, _TooHeavyError)]
        if heavy:
            answered = [pair for pair in answered if not isinstance(pair[1], _TooHeavyError)]
            self._heavy += [deque([item]) for item in heavy]
            self._begin_heavy()
        self.scheduler.deliver(answered)
        self._hand_over()

    def _begin_heavy(self) -> None:
        """Give photographs to the threads, as many as may be read at once."""
        while (item := self._next_heavy()) is not None:
            item.request.heavy_under_way += 1
            self._heavy_under_way += 1
            self.scheduler.heavy_under_way += 1
            if self._heavy_under_way > len(self.threads) - 1:
                self._start(self._work_heavily, "-photographs")
            self._photographs.put(item)

    def _next_heavy(self) -> _Item | None:
        """Return the next photograph, of each request in turn.

        No request has all threads, and each model has one in any case.
        """
        threads = default_jobs() + 1
        if self._heavy_under_way >= (
            threads if self.scheduler.heavy_under_way < MAX_PHOTOGRAPHS_AT_ONCE else 1
        ):
            return None
        for _ in range(len(self._heavy)):
            items = self._heavy.popleft()
            if items[0].is_given_up():
                self.scheduler.deliver([(item, _GivenUpError()) for item in items])
                continue
            item = items.popleft() if items[0].request.heavy_under_way < threads - 1 else None
            if items:
                self._heavy.append(items)
            if item is not None:
                return item
        return None

    def _take_heavy_back(self, item: _Item, answer: Prediction | Exception) -> None:
        item.request.heavy_under_way -= 1
        self._heavy_under_way -= 1
        self.scheduler.heavy_under_way -= 1
        self.scheduler.deliver([(item, answer)])
        self._begin_heavy()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            answered, seconds_each = self._read(batch)
            self._back(self._take_back, answered, seconds_each)

    def _back(self, *call: Any) -> None:
        with suppress(RuntimeError):  # the event loop has ended, and nobody waits
            self.loop.call_soon_threadsafe(*call)

    def _read(self, batch: list[_Item]) -> tuple[list[Answered], float | None]:
        try:
            reader = self.scheduler.registry.get(self.model)
            began = time.perf_counter()
            answered = self._read_with(reader, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the requests must hear of it
            return [(item, error) for item in batch], None
        return answered, (time.perf_counter() - began) / len(batch)

    def _read_with(self, reader: Recognizer, batch: list[_Item]) -> list[Answered]:
        answered: list[Answered] = []
        groups: defaultdict[PredictOptions, list[tuple[_Item, NDArray[np.uint8]]]] = defaultdict(list)
        max_pixels = min(LARGE_PIXELS, self.scheduler.limits.pixels)
        for item in batch:
            if item.is_given_up():
                answered.append((item, _GivenUpError()))
                continue
            item.begun = True
            upload = item.upload
            try:
                # None for an image that takes longer than a moment.
                image = decode_harmless(upload.data(), where=upload.where, max_pixels=max_pixels)
            except ImageTooLargeError:
                image = None
            except ImageError as error:
                answered.append((item, _failed(error)))
                continue
            if image is None:
                answered.append((item, _TooHeavyError()))
            else:
                groups[item.request.options].append((item, image))
        for options, members in groups.items():
            answered += [(item, _GivenUpError()) for item, _ in members if item.is_given_up()]
            given_up = {item for item, _ in answered}
            wanted = [member for member in members if member[0] not in given_up]
            results = reader.predict_batch([image for _, image in wanted], options)
            answered += [(item, result) for (item, _), result in zip(wanted, results, strict=True)]
        return answered

    def _work_heavily(self) -> None:
        while (item := self._photographs.get()) is not None:
            self._back(self._take_heavy_back, item, self._read_heavy(item))

    def _read_heavy(self, item: _Item) -> Prediction | Exception:
        if item.is_given_up():
            return _GivenUpError()
        item.begun = True
        upload, limits = item.upload, self.scheduler.limits
        try:
            reader = self.scheduler.registry.get(self.model)
            # Not by `reader.predict`: here decoding ends with the request, and early enough for a row.
            image = decode_grey(
                upload.data(),
                where=upload.where,
                max_pixels=limits.pixels,
                min_decode_pixels=reader.min_decode_pixels,
                timeout=DECODING_TIME_FRACTION * limits.seconds,
                stopping=item.request.stop,
            )
            if item.is_given_up():
                return _GivenUpError()
            return reader.predict(image, item.request.options)
        except ImageTooLargeError as error:
            # Whoever sent it cannot raise the limit.
            return _failed(ImageTooLargeError(error.problem, remedy="scale it down"))
        except ImageError as error:
            return _failed(error)
        except Exception as error:  # noqa: BLE001 - as above
            return error


def _failed(error: ImageError) -> Prediction:
    # A kept traceback would keep every frame's arrays alive with it.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return Prediction(None, None, (), None, error)
