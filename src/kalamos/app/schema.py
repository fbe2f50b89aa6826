"""The API's JSON: pydantic models that check requests and make the OpenAPI document."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from kalamos.predict_options import PredictOptions, option_infos

MAX_NAME_CHARACTERS = 1024
"""Characters."""


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RequestFields(_Exact):
    """What every request may say; the options of `predict` are added to it below."""

    model: Annotated[
        str | None, Field(description="A name from `/v1/models`; the first there by default.")
    ] = None

    def options(self) -> PredictOptions:
        """Return the options; raises `UsageError` if they contradict each other."""
        return PredictOptions(**self.model_dump(include=set(_OPTIONS)))


class Image(_Exact):
    """An image with a name of its own."""

    data: Annotated[str, Field(description="The image file, base64 (RFC 4648); a `data:` URL of it as well.")]
    name: Annotated[
        str | None,
        Field(max_length=MAX_NAME_CHARACTERS, description="Comes back as `path`; never looked for."),
    ] = None


class _JsonFields(RequestFields):
    image: Annotated[str | Image | None, Field(description="One image file, base64.")] = None
    images: Annotated[
        list[str | Image] | None, Field(min_length=1, description="Several, instead of `image`.")
    ] = None


def _option_fields() -> dict[str, Any]:
    """Return the fields of `PredictOptions` that a request may have, as pydantic takes them."""
    kinds = get_type_hints(PredictOptions)
    spelled = {name: f"`{name}`" for name in option_infos()}
    fields: dict[str, Any] = {}
    for option in dataclasses.fields(PredictOptions):
        info = option_infos()[option.name]
        if not info.in_api:
            continue
        bounds: dict[str, Any] = {"ge": info.ge, "gt": info.gt, "le": info.le, "max_length": info.max_length}
        if info.kind is float:
            bounds["allow_inf_nan"] = False
        described = Field(description=info.help.format_map(spelled), **bounds)
        fields[option.name] = (Annotated[kinds[option.name], described], option.default)
    return fields


_OPTIONS: Final = _option_fields()

FormRequest = create_model(
    "FormRequest", __base__=RequestFields, __doc__="The fields of a form beside its images.", **_OPTIONS
)
JsonRequest = create_model(
    "JsonRequest", __base__=_JsonFields, __doc__="One image or several, with options.", **_OPTIONS
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


def body_schemas() -> dict[str, Any]:
    """Return the schemas of the bodies of `POST /v1/predict`, by their names in the OpenAPI document."""
    request = JsonRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    form = FormRequest.model_json_schema()
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    form["properties"] = {"image": {**files, "description": "Image files."}} | form["properties"]
    form |= {"title": "Form", "required": ["image"], "description": "Image files, and options as fields."}
    return {"Form": form, **request.pop("$defs"), "JsonRequest": request}
