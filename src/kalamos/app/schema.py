"""The API's JSON: pydantic models that check requests and make the OpenAPI document."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from kalamos.errors import ImageError
from kalamos.forms.filled import FieldStatus, FormStatus
from kalamos.pages.page import Layout, LayoutOption
from kalamos.predict_options import PredictOptions, option_infos

MAX_NAME_CHARACTERS = 1024
"""Characters."""

IMAGE_FIELDS: Final = ("image", "images")
"""Of a request: one image, or several."""

PAGE_OPTIONS: Final = ("charset", "min_confidence", "target_accuracy", "min_known")
"""Those of `PredictOptions` that mean something for a page."""


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ModelFields(_Exact):
    """What a request says that chooses a model; options of `predict` are added to it below."""

    model: Annotated[
        str | None, Field(description="A name from `/v1/models`; the first there by default.")
    ] = None

    def options(self) -> PredictOptions:
        """Return the options; raises `UsageError` if they contradict each other."""
        return PredictOptions(**self.model_dump(include=set(option_infos())))


class PageFields(ModelFields):
    """What a request for pages says."""

    layout: Annotated[
        LayoutOption,
        Field(
            description="One line, lines, or the cells of ruled lines; `auto` reads a grid where it sees one."
        ),
    ] = "auto"


class Image(_Exact):
    """An image with a name of its own."""

    data: Annotated[str, Field(description="The image file, base64 (RFC 4648); a `data:` URL of it as well.")]
    name: Annotated[
        str | None,
        Field(max_length=MAX_NAME_CHARACTERS, description="Comes back as `path`; never looked for."),
    ] = None


class ScansJson(_Exact):
    """One image or several."""

    image: Annotated[str | Image | None, Field(description="One image file, base64.")] = None
    images: Annotated[
        list[str | Image] | None, Field(min_length=1, description="Several, instead of `image`.")
    ] = None


class ScansForm(_Exact):
    """The fields of a form beside its images: there are none."""


def _option_fields(names: Collection[str]) -> dict[str, Any]:
    """Return these fields of `PredictOptions`, as pydantic takes them."""
    kinds = get_type_hints(PredictOptions)
    spelled = {name: f"`{name}`" for name in option_infos()}
    fields: dict[str, Any] = {}
    for option in dataclasses.fields(PredictOptions):
        info = option_infos()[option.name]
        if option.name not in names:
            continue
        bounds: dict[str, Any] = {"ge": info.ge, "gt": info.gt, "le": info.le, "max_length": info.max_length}
        if info.kind is float:
            bounds["allow_inf_nan"] = False
        described = Field(description=info.help.format_map(spelled), **bounds)
        fields[option.name] = (Annotated[kinds[option.name], described], option.default)
    return fields


_PREDICT: Final = _option_fields([name for name, info in option_infos().items() if info.in_api])
_READ: Final = _option_fields(PAGE_OPTIONS)

FormRequest = create_model(
    "Form", __base__=ModelFields, __doc__="The fields of a form beside its images.", **_PREDICT
)
JsonRequest = create_model(
    "JsonRequest",
    __base__=(ScansJson, ModelFields),
    __doc__="One image or several, with options.",
    **_PREDICT,
)
PagesForm = create_model(
    "PagesForm", __base__=PageFields, __doc__="The fields of a form beside its pages.", **_READ
)
PagesJson = create_model(
    "PagesJson",
    __base__=(ScansJson, PageFields),
    __doc__="One page or several, with options.",
    **_READ,
)


class Candidate(_Exact):
    label: str
    confidence: Annotated[float, Field(ge=0, le=1)]


class Row(_Exact):
    """The answer for one image: the fields of `kalamos predict -f json`, and the error's code."""

    path: Annotated[str | None, Field(description="The image's name as it was sent.")]
    label: Annotated[str | None, Field(description="None if the model abstained or the image failed.")]
    confidence: Annotated[float | None, Field(ge=0, le=1)]
    known: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="The probability of being one of the model's characters at all, of models that tell.",
        ),
    ] = None
    removed: Annotated[
        float | None,
        Field(
            ge=0, le=1, description="With a `charset` alone: the probability that the labels left out had."
        ),
    ] = None
    reason: Annotated[str | None, Field(description="Why such a model abstained; null if it did not.")] = None
    abstained: bool
    error: Annotated[str | None, Field(description="What is wrong with this image, and how to fix it.")]
    code: Annotated[
        str | None,
        Field(description="The error's kind: `no_ink`, `damaged`, `unsupported_format` or `too_large`."),
    ]
    top: Annotated[list[Candidate], Field(description="The most probable labels, most probable first.")]


class Answer(_Exact):
    """One row an image, in the order they were sent."""

    model: str
    results: list[Row]


Box = tuple[int, int, int, int]
"""x, y, width and height in px of the picture as it was sent."""


class PageCharacter(_Exact):
    """One character of a page, or of a form's box."""

    label: Annotated[str | None, Field(description="Null where the model abstained; `reason` says why.")]
    confidence: Annotated[float, Field(ge=0, le=1)]
    known: Annotated[
        float | None,
        Field(ge=0, le=1, description="The probability of being a character at all, of models that tell."),
    ]
    reason: str | None
    box: Annotated[Box, Field(description="x, y, width and height, in px of the picture as it was sent.")]
    candidates: Annotated[
        list[tuple[str, float]], Field(description="Labels with their confidences, most probable first.")
    ]


class PageWord(_Exact):
    text: str
    box: Box
    characters: list[PageCharacter]


class PageLine(_Exact):
    text: str
    box: Box
    words: list[PageWord]


class PageCell(_Exact):
    """A cell of a grid."""

    row: Annotated[int, Field(ge=1)]
    column: Annotated[int, Field(ge=1)]
    box: Box
    character: Annotated[PageCharacter | None, Field(description="Null for a blank.")]


class PageRow(_Exact):
    """The answer for one page: what `kalamos read -f jsonl` writes, and the error's code."""

    path: Annotated[str | None, Field(description="The file's name as it was sent.")]
    page: Annotated[int, Field(ge=1, description="Its number in the file, of a PDF or TIFF with several.")]
    width: Annotated[int, Field(description="Of the picture, in px; 0 where there is none.")]
    height: int
    layout: Annotated[Layout, Field(description="How it was read.")]
    turned: Annotated[
        float, Field(description="Degrees clockwise that the picture is turned until it stands upright.")
    ]
    model: Annotated[str, Field(description="Its name, and the first digits of its file's SHA-256.")]
    error: Annotated[str | None, Field(description="What is wrong with this page, and how to fix it.")]
    code: Annotated[
        str | None, Field(description="The error's kind: `damaged`, `unsupported_format`, `too_large`, …")
    ]
    text: Annotated[str, Field(description="Lines; of a grid its rows, with a tab between cells.")]
    lines: Annotated[list[PageLine], Field(description="In reading order; none of a grid.")]
    cells: Annotated[list[PageCell], Field(description="Of a grid, row by row.")]


class PagesAnswer(_Exact):
    """The pages, in the order they were sent."""

    model: str
    results: list[PageRow]


class FieldRow(_Exact):
    """What is written in one field of a form."""

    text: Annotated[str | None, Field(description="Empty for a blank field, null where nothing was read.")]
    status: Annotated[
        FieldStatus,
        Field(description="Sure enough; to be looked at by a person; blank; its page is missing."),
    ]
    probability: Annotated[
        float,
        Field(ge=0, le=1, description="Of the text among all strings, those that break the rules included."),
    ]
    runners_up: Annotated[
        list[tuple[str, float]], Field(description="The next most likely texts that keep the rules.")
    ]
    boxes: Annotated[list[PageCharacter | None], Field(description="What each box holds; null for a blank.")]
    corners: Annotated[
        list[list[tuple[float, float]]],
        Field(description="Of each box on its scan, x and y in px, clockwise from the top left."),
    ]
    scan: Annotated[int | None, Field(ge=0, description="Which of `scans` it is on, from 0.")]


class ScanRow(_Exact):
    """One picture of a form."""

    path: Annotated[str | None, Field(description="The file's name as it was sent; `#2` is its second page.")]
    page: Annotated[int | None, Field(ge=1, description="The form's page that it shows; null for none.")]
    method: Annotated[str, Field(description="How the form was found on it.")]
    misfit: float | None
    sheet: Annotated[str | None, Field(description="The sheet's number, from its printed code.")]
    error: Annotated[str | None, Field(description="Why it could not be read, or shows no such form.")]


class FormRow(_Exact):
    """One filled form: what `kalamos forms read -o table.jsonl` writes."""

    path: Annotated[str, Field(description="The names of its scans.")]
    sheet: str | None
    status: Annotated[
        FormStatus,
        Field(description="All sure; some fields to be looked at; pages missing; not this form; unreadable."),
    ]
    error: str | None
    fields: Annotated[dict[str, FieldRow], Field(description="By name, in the template's order.")]
    scans: list[ScanRow]
    made_by: Annotated[str, Field(description="kalamos's version, the models, and the threshold of `ok`.")]


class FormsAnswer(_Exact):
    """The filled forms, in the order their scans were sent."""

    form: str
    results: list[FormRow]


class FormField(_Exact):
    """A column of a form's table."""

    name: str
    page: int
    kind: Literal["text", "tick"]
    boxes: Annotated[int, Field(description="How many: a character each, or an option each.")]
    may_be_blank: bool
    pattern: Annotated[str, Field(description="A regular expression; empty for none.")]
    check: Annotated[str, Field(description="A check digit or another rule; empty for none.")]
    options: Annotated[list[str], Field(description="Of boxes to tick, what each stands for.")]


class FormTemplateInfo(_Exact):
    name: Annotated[str, Field(description="Of its template's file; `POST /v1/forms/{name}` reads scans.")]
    title: Annotated[str, Field(description="What the template calls itself.")]
    pages: int
    fields: list[FormField]


class Forms(_Exact):
    forms: list[FormTemplateInfo]


class Alphabet(_Exact):
    name: str
    labels: Annotated[list[str], Field(description="In the order of the model's output.")]


class Measured(_Exact):
    dataset: str
    split: str
    n: Annotated[int, Field(description="Images it was measured on.")]
    accuracy: float
    interval: Annotated[tuple[float, float], Field(description="95 % confidence interval of the accuracy.")]


class Model(_Exact):
    """What a model says about itself."""

    name: str
    architecture: str
    parameters: int
    alphabet: Alphabet
    input_size: Annotated[int, Field(description="Pixels a side.")]
    min_confidence: Annotated[
        float, Field(description="It abstains below this confidence, unless a request says otherwise.")
    ]
    target_accuracies: Annotated[
        list[float], Field(description="Accuracies for which its validation knows a confidence.")
    ]
    metrics: list[Measured]
    licence: str


class ModelDetails(Model):
    """All that a model says about itself."""

    spec: Annotated[
        dict[str, Any],
        Field(
            description="As `kalamos models NAME --json`; of a model of one's own without `training.recipe`, "
            "which can name folders."
        ),
    ]
    card: Annotated[str | None, Field(description="In Markdown, of the shipped models.")]


class Models(_Exact):
    default: str
    models: list[Model]


class Health(_Exact):
    status: str
    version: str
    waiting: Annotated[int, Field(description="Images that wait or are being read.")]
    queue: Annotated[int, Field(description="How many may.")]


class Problem(_Exact):
    code: str
    message: str
    remedy: str | None
    request_id: str


class Failure(_Exact):
    """The whole request was refused."""

    error: Problem


_REFUSALS: Final = {
    408: "The request came too slowly.",
    413: "Too many bytes, images or parts.",
    415: "Neither a form, JSON nor a file that is read here; or compressed.",
    422: "An unknown field, a value out of range, no image, no such model.",
    429: "Too much to do: wait for `Retry-After` seconds.",
    503: "The model cannot be opened.",
    504: "Reading took too long.",
}


def error_responses(
    more: Mapping[int, str] | None = None, *, only: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return the refusals of a route by their status: those of every route with a body, and more.

    Args:
        more: others, each with its description.
        only: whether those are all.
    """
    told = {**({} if only else _REFUSALS), **(more or {})}
    return {status: {"description": text, "model": Failure} for status, text in told.items()}


def add_token(document: dict[str, Any], open_paths: Collection[str]) -> None:
    """Add to an OpenAPI document that all paths but the open ones ask for a bearer token."""
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    refused = {
        "description": "No token, or not one of this server's.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}},
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path not in open_paths:
                operation["security"] = [{"token": []}]
                operation["responses"]["401"] = refused


def error_code(error: ImageError | None) -> str | None:
    """Return the word for an error's kind that programs can rely on; None for no error.

    >>> from kalamos.errors import NoInkError
    >>> error_code(NoInkError("blank"))
    'no_ink'
    """
    return None if error is None else error.summary.replace(" ", "_")


def body_schema(form: type[BaseModel], json: type[BaseModel], files: Sequence[str]) -> dict[str, Any]:
    """Return what the OpenAPI document says of a route's body.

    Args:
        form: the model of a form's fields, and of the options in the address of a body that is one file.
        json: the model of a body of JSON.
        files: the media types of a body that is one file.
    """
    kinds = {"multipart/form-data": form, "application/json": json}
    content: dict[str, Any] = {
        kind: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}} for kind, model in kinds.items()
    }
    content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in files}
    options = form.model_json_schema().get("properties", {})
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"{option.pop('description')} Only where the body is one file.",
            "schema": option,
        }
        for name, option in options.items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


def body_schemas() -> dict[str, Any]:
    """Return the schemas of the bodies of requests with images, by their names in the OpenAPI document."""
    schemas: dict[str, Any] = {}
    for json, form in ((JsonRequest, FormRequest), (PagesJson, PagesForm), (ScansJson, ScansForm)):
        request = json.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {form.__name__: _form_schema(form), **request.pop("$defs"), json.__name__: request}
    return schemas


def _form_schema(fields: type[BaseModel]) -> dict[str, Any]:
    schema = fields.model_json_schema()
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    options = schema.get("properties", {})
    schema["properties"] = {"image": {**files, "description": "Image files."}} | options
    what = "Image files, and options as fields." if options else "Image files."
    return schema | {"required": ["image"], "description": what}
