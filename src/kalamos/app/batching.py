"""Images of many requests, read together: one thread a model, up to `CHUNK` images a run."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.app.bodies import busy
from kalamos.app.limits import Limits
from kalamos.app.models import ModelShelf
from kalamos.app.refusals import RefusedError
from kalamos.app.uploads import Upload
from kalamos.errors import ImageError, ImageTooLargeError
from kalamos.images.decoding import decode_grey
from kalamos.inputs.item import HEAVY_BYTES, HEAVY_PIXELS
from kalamos.predictions import Prediction
from kalamos.recognizer import CHUNK, Recognizer
from kalamos.streaming import default_jobs

__all__ = ["Asked", "ReadingRoom"]


class Asked(NamedTuple):
    """The options of `Recognizer.predict`. Images with the same ones are read together."""

    top_k: int = 5
    min_confidence: float | None = None
    target_accuracy: float | None = None
    charset: str | None = None


@dataclass(eq=False, slots=True)
class _Ticket:
    """A request that waits for its images."""

    asked: Asked
    answers: list[Prediction | None]
    done: asyncio.Future[None]
    left: int


class _Item(NamedTuple):
    ticket: _Ticket
    place: int
    upload: Upload


Answered = tuple[_Item, Prediction | Exception]


class ReadingRoom:
    """Answers requests for images, and says so when there are too many. For one event loop.

    Decoding, preprocessing and the model run in threads. What is quickly read goes through one thread a
    model, many images at a time; a photograph goes to a pool, so that nobody waits behind it.
    """

    def __init__(self, shelf: ModelShelf, limits: Limits) -> None:
        self.shelf = shelf
        self.limits = limits
        self._workers: dict[str, _Worker] = {}
        self.pool = ThreadPoolExecutor(default_jobs(), thread_name_prefix="kalamos-heavy")
        self.waiting = 0
        """Images that wait or are being read."""

    def admit(self, images: int = 1) -> None:
        """Raises a `RefusedError` (429) where the queue has no room for so many images."""
        if self.waiting + images > self.limits.queue:
            raise busy(f"{self.waiting:,} of {self.limits.queue:,} places in the queue are taken")

    async def read(self, model: str, uploads: Sequence[Upload], asked: Asked) -> list[Prediction]:
        """One prediction an image, in order; one that cannot be read carries its error.

        Raises:
            RefusedError: 429 the queue is full, 504 it took too long.
            ModelError: the model cannot be opened.
        """
        self.admit(len(uploads))
        loop = asyncio.get_running_loop()
        ticket = _Ticket(asked, [None] * len(uploads), loop.create_future(), len(uploads))
        worker = self._workers.get(model)
        if worker is None:
            worker = self._workers[model] = _Worker(self, model, loop)
        self.waiting += len(uploads)
        worker.add(_Item(ticket, place, upload) for place, upload in enumerate(uploads))
        try:
            async with asyncio.timeout(self.limits.seconds):
                await ticket.done
        except TimeoutError:
            raise RefusedError(
                504,
                "too_long",
                f"the images could not be read within {self.limits.seconds:g} s",
                remedy="send fewer or smaller images at once, or try again later",
            ) from None
        return [answer for answer in ticket.answers if answer is not None]

    def deliver(self, answered: Sequence[Answered]) -> None:
        """Hand out answers; called in the event loop."""
        self.waiting -= len(answered)
        for (ticket, place, _), answer in answered:
            ticket.left -= 1
            if ticket.done.done():  # out of time, or another image has failed it
                continue
            if isinstance(answer, Exception):
                ticket.done.set_exception(answer)
                continue
            ticket.answers[place] = answer
            if not ticket.left:
                ticket.done.set_result(None)

    async def close(self) -> None:
        """End the threads, when they have read what they were given."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for worker in self._workers.values():
            worker.end()
        for worker in self._workers.values():
            worker.thread.join(self.limits.seconds)
        self.pool.shutdown()


class _Worker:
    """The thread of one model.

    Requests gather in the event loop while a batch is read, and the thread is woken once a batch: each time
    costs a wait for the interpreter's lock.
    """

    def __init__(self, room: ReadingRoom, model: str, loop: asyncio.AbstractEventLoop) -> None:
        self.room, self.model, self.loop = room, model, loop
        self._gathered: deque[_Item] = deque()
        self._under_way = False
        self._batches: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        # A daemon, so that a model run that hangs does not keep the process from ending.
        self.thread = threading.Thread(target=self._work, name=f"kalamos-{model}", daemon=True)
        self.thread.start()

    def add(self, items: Iterable[_Item]) -> None:
        """Called in the event loop, as are those below up to the thread's own."""
        self._gathered.extend(items)
        if not self._under_way:
            self._under_way = True
            # What else has come by now is taken along.
            self.loop.call_soon(self._hand_over)

    def end(self) -> None:
        self._batches.put(None)

    def _hand_over(self) -> None:
        batch: list[_Item] = []
        given_up: list[Answered] = []
        while self._gathered and len(batch) < CHUNK:
            item = self._gathered.popleft()
            if item.ticket.done.done():
                given_up.append((item, TimeoutError()))
            else:
                batch.append(item)
        self.room.deliver(given_up)
        self._under_way = bool(batch)
        if batch:
            self._batches.put(batch)

    def _take_back(self, answered: Sequence[Answered]) -> None:
        self.room.deliver(answered)
        self._hand_over()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            self.loop.call_soon_threadsafe(self._take_back, self._read(batch))

    def _read(self, batch: list[_Item]) -> list[Answered]:
        try:
            reader = self.room.shelf.get(self.model)
            return self._read_with(reader, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the requests must hear of it
            return [(item, error) for item in batch]

    def _read_with(self, reader: Recognizer, batch: list[_Item]) -> list[Answered]:
        answered: list[Answered] = []
        groups: defaultdict[Asked, list[tuple[_Item, NDArray[np.uint8]]]] = defaultdict(list)
        quick = min(HEAVY_PIXELS, self.room.limits.pixels)
        for item in batch:
            content = item.upload.content
            if isinstance(content, bytes) and len(content) > HEAVY_BYTES:
                self._leave_to_the_pool(reader, item)
                continue
            try:
                groups[item.ticket.asked].append((item, _decode(item.upload, quick)))
            except ImageTooLargeError:
                self._leave_to_the_pool(reader, item)
            except ImageError as error:
                answered.append((item, _failed(error)))
        for asked, members in groups.items():
            results = reader.predict_batch([image for _, image in members], **asked._asdict())
            answered += [(item, result) for (item, _), result in zip(members, results, strict=True)]
        return answered

    def _leave_to_the_pool(self, reader: Recognizer, item: _Item) -> None:
        def read() -> None:
            answered = [(item, self._read_heavy(reader, item))]
            self.loop.call_soon_threadsafe(self.room.deliver, answered)

        self.room.pool.submit(read)

    def _read_heavy(self, reader: Recognizer, item: _Item) -> Prediction | Exception:
        if item.ticket.done.done():
            return TimeoutError()
        try:
            image = _decode(item.upload, self.room.limits.pixels, reader.enough_pixels)
            return reader.predict(image, **item.ticket.asked._asdict())
        except ImageTooLargeError as error:
            # Whoever sent it cannot raise the limit.
            return _failed(ImageTooLargeError(error.problem, remedy="scale it down"))
        except ImageError as error:
            return _failed(error)
        except Exception as error:  # noqa: BLE001 - as above
            return error


def _decode(upload: Upload, max_pixels: int, enough_pixels: int | None = None) -> NDArray[np.uint8]:
    if isinstance(upload.content, ImageError):
        raise upload.content
    return decode_grey(upload.content, where=upload.where, max_pixels=max_pixels, enough_pixels=enough_pixels)


def _failed(error: ImageError) -> Prediction:
    # A kept traceback would keep every frame's arrays alive with it.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return Prediction(None, None, (), None, error)
