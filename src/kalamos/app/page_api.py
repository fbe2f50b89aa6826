"""The API's routes for pages and forms."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.responses import Response

from kalamos.app.batching import DECODING_TIME_FRACTION, BatchScheduler, ModelRegistry
from kalamos.app.errors import APIError, Limits
from kalamos.app.metrics import Metrics
from kalamos.app.page_scheduler import PageScheduler
from kalamos.app.requests import (
    JSON_TYPE,
    PAGE_TYPES,
    BodyReader,
    UploadedImage,
    checked_options,
    content_kind,
    read_images,
)
from kalamos.app.scans import FormRegistry, pages_of
from kalamos.app.schema import (
    FormField,
    Forms,
    FormsAnswer,
    FormTemplateInfo,
    PagesAnswer,
    PagesForm,
    PagesJson,
    ScansForm,
    ScansJson,
    body_schema,
    error_code,
    error_responses,
)
from kalamos.errors import (
    CorruptImageError,
    FormError,
    ImageError,
    ImageTooLargeError,
    ModelError,
    ModelNotFoundError,
    UsageError,
)
from kalamos.forms import FilledForm, FormTemplate
from kalamos.forms.reader import FormReader
from kalamos.inputs.item import NamedImage, load_item
from kalamos.pages import Page, PageReader
from kalamos.pages.page import LayoutOption
from kalamos.postprocessing import AnswerRule
from kalamos.predict_options import PredictOptions
from kalamos.writers.base import encodable

__all__ = ["add_page_routes", "checked_rule"]

READ_ROUTE: Final = "/v1/read"
FORM_ROUTE: Final = "/v1/forms/{name}"


def add_page_routes(
    app: FastAPI,
    registry: ModelRegistry,
    forms: FormRegistry,
    scheduler: BatchScheduler,
    bodies: BodyReader,
    metrics: Metrics,
) -> None:
    """Add the routes, over the registries and bounds of the other ones."""
    limits, pages = scheduler.limits, PageScheduler(scheduler)

    @app.post(
        READ_ROUTE,
        response_model=PagesAnswer,
        responses=error_responses(),
        openapi_extra=body_schema(PagesForm, PagesJson, PAGE_TYPES),
    )
    async def read(request: Request) -> Response:
        """Read the characters on pages: photographs, scans or screenshots, turned any way.

        One row per page, in the order they were sent; a file of several pages, such as a PDF, has a row for
        each. A page that cannot be read is a row with its error and the error's code; the others are read.
        """
        kind = content_kind(request, PAGE_TYPES)
        scheduler.admit()
        async with bodies.read(request) as body:
            asked = await read_images(request, kind, body, PagesForm, PagesJson, most=limits.images)
            del body
            fields: Any = asked.fields
            model = fields.model or registry.default
            options = checked_options(fields)
            checked_rule(registry, model, options)
            reading = _PageTasks(registry, model, options, fields.layout, limits, metrics)
            try:
                rows = await pages.run([reading.task(upload) for upload in asked.images], request.receive)
            except ModelError as error:
                # Its message names the file.
                raise APIError(503, "model_unusable", f"the model {model!r} cannot be used") from error
        return _answer("model", model, chain.from_iterable(rows))

    @app.get("/v1/forms", response_model=Forms)
    async def list_forms() -> Forms:
        """List the forms that `POST /v1/forms/{name}` reads scans of, with their fields."""
        return Forms(forms=[described(name, forms.reader(name).template) for name in forms.names()])

    @app.post(
        FORM_ROUTE,
        response_model=FormsAnswer,
        responses=error_responses({404: "No form has this name."}),
        openapi_extra=body_schema(ScansForm, ScansJson, PAGE_TYPES),
    )
    async def read_forms(name: str, request: Request) -> Response:
        """Read scans of a form: one row per form, in the order they were sent.

        Scans of a form with several pages follow each other. A field is `ok` only where it is sure; a scan
        that cannot be read, or does not show the form, is a row that says so.
        """
        try:
            reader = forms.reader(name)
        except FormError as error:
            raise APIError(404, "unknown_form", error.problem, remedy=error.remedy) from None
        kind = content_kind(request, PAGE_TYPES)
        scheduler.admit()
        async with bodies.read(request) as body:
            asked = await read_images(request, kind, body, ScansForm, ScansJson, most=limits.images)
            del body
            try:
                rows = await pages.run(_form_tasks(reader, asked.images, limits, metrics), request.receive)
            except (ModelError, FormError) as error:
                raise APIError(503, "model_unusable", f"the form {name!r} cannot be read") from error
        return _answer("form", name, chain.from_iterable(rows))


def _answer(key: str, name: str, rows: Iterator[str]) -> Response:
    results = ",\n".join(rows)
    return Response(f'{{"{key}": {json.dumps(name)}, "results": [\n{results}\n]}}', media_type=JSON_TYPE)


def checked_rule(registry: ModelRegistry, model: str, options: PredictOptions) -> AnswerRule:
    """Return how a model answers.

    Raises:
        APIError: 422, there is no such model, or it cannot answer so.
    """
    try:
        return AnswerRule.for_model(registry.spec(model), options)
    except ModelNotFoundError as error:
        raise APIError(422, "unknown_model", error.problem, remedy=error.remedy) from None
    except UsageError as error:
        raise APIError(422, "invalid_option", error.problem, remedy=error.remedy) from None


class _PageTasks:
    """Makes the tasks of a request for pages."""

    def __init__(
        self,
        registry: ModelRegistry,
        model: str,
        options: PredictOptions,
        layout: LayoutOption,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._registry, self._model, self._options, self._layout = registry, model, options, layout
        self._limits, self._metrics = limits, metrics

    def task(self, upload: UploadedImage) -> Callable[[threading.Event], list[str]]:
        """Return a task that answers with the JSON of each page of a file."""

        def read(stop: threading.Event) -> list[str]:
            reader = PageReader(self._registry.get(self._model), self._options, layout=self._layout)
            rows = []
            for number, item in enumerate(_items(upload, self._limits), 1):
                if stop.is_set():
                    break
                page = self._read(reader, item, upload.name, number, stop)
                self._metrics.count_images(READ_ROUTE, [error_code(page.error) or "read"])
                rows.append(page_json(page))
            return rows

        return read

    def _read(
        self, reader: PageReader, item: NamedImage, path: str | None, number: int, stop: threading.Event
    ) -> Page:
        try:
            # Not by `reader.read`: here decoding ends with the request.
            image = load_item(
                item,
                max_pixels=self._limits.pixels,
                timeout=DECODING_TIME_FRACTION * self._limits.seconds,
                stopping=stop,
            )
        except ImageError as error:
            return Page(path=path, number=number, error=_mendable(error), model=reader.model)
        # Without the picture, which nobody looks at any more.
        return replace(reader.read_image(image, path=path, number=number), image=None)


def page_json(page: Page) -> str:
    """Return a `schema.PageRow`.

    Raises:
        ModelError: a confidence is not a number, which JSON cannot write.

    >>> page = Page(path="a.png", error=CorruptImageError("a.png: truncated"))
    >>> json.loads(page_json(page))["code"]
    'damaged'
    """
    try:
        return json.dumps({**page.to_dict(), "code": error_code(page.error)}, allow_nan=False)
    except ValueError as error:
        raise ModelError("the model gave no numbers") from error


def _form_tasks(
    reader: FormReader, uploads: Sequence[UploadedImage], limits: Limits, metrics: Metrics
) -> list[Callable[[threading.Event], list[str]]]:
    """Return tasks that answer with the JSON of forms: one for each file, or one for all.

    Where a form has several pages, which scans are of one form is known only once those before are read.
    """
    groups = [[upload] for upload in uploads] if len(reader.template.pages) == 1 else [uploads]

    def task(group: Sequence[UploadedImage]) -> Callable[[threading.Event], list[str]]:
        def read(stop: threading.Event) -> list[str]:
            items = _until(stop, chain.from_iterable(_items(upload, limits) for upload in group))
            forms = list(reader.read_all(items, jobs=1))
            metrics.count_images(FORM_ROUTE, [form.status for form in forms])
            return [form_json(form) for form in forms]

        return read

    return [task(group) for group in groups]


def form_json(form: FilledForm) -> str:
    """Return a `schema.FormRow`."""
    return json.dumps(form.to_dict(), allow_nan=False)


def _until(stop: threading.Event, items: Iterator[NamedImage]) -> Iterator[NamedImage]:
    """Yield items for as long as somebody waits for the answer."""
    for item in items:
        if stop.is_set():
            return
        yield item


def _items(upload: UploadedImage, limits: Limits) -> Iterator[NamedImage]:
    """Yield the pages of one file as it came; its own error if there are none."""
    if isinstance(upload.content, CorruptImageError):
        return iter([NamedImage(upload.where, upload.content)])
    timeout = DECODING_TIME_FRACTION * limits.seconds
    return pages_of(upload.content, upload.name or upload.where, most=limits.images, timeout=timeout)


def _mendable(error: ImageError) -> ImageError:
    """Return an error as the client can mend it: whoever sent the image cannot raise the limit."""
    # A kept traceback would keep every frame's arrays alive with it.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    if isinstance(error, ImageTooLargeError):
        return ImageTooLargeError(error.problem, remedy="scale it down")
    return error


def described(name: str, template: FormTemplate) -> FormTemplateInfo:
    """Return what `/v1/forms` says about a form."""
    return FormTemplateInfo(
        name=encodable(name),
        title=encodable(template.name),
        pages=len(template.pages),
        fields=[
            FormField(
                name=encodable(field.name),
                page=field.page,
                kind=field.kind,
                boxes=len(field.boxes),
                may_be_blank=field.may_be_blank,
                pattern=encodable(field.pattern),
                check=encodable(field.check),
                options=[encodable(option) for option in field.options],
            )
            for field in template.fields
        ],
    )
