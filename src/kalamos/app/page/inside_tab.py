"""The tab that shows what happens inside the model."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from kalamos.app.page.context import Context
from kalamos.app.page.html import channel_grid, data_uri, hint_html, problem_html, verdict
from kalamos.app.page.session import LastRead, Session
from kalamos.errors import KalamosError
from kalamos.explain import occlusion, overlay
from kalamos.images import decode_grey
from kalamos.recognizer import Recognizer

__all__ = ["build_inside", "first_stages", "inside_html"]

MAX_CHANNELS = 12

INSIDE_START = hint_html("Read one character first; then see here how the model arrives at its answer.")


def first_stages(stages: Sequence[str]) -> list[str]:
    """Three stages: the first, one in the middle, the last; all where there are no more than three.

    >>> first_stages(["a", "b", "c", "d", "e"])
    ['a', 'c', 'e']
    """
    if len(stages) <= 3:
        return list(stages)
    return [stages[0], stages[len(stages) // 2], stages[-1]]


def inside_html(reader: Recognizer, last: LastRead, stages: Sequence[str], max_pixels: int) -> str:
    """The image on its way into the model, where the answer lies in it, and the stages' feature maps."""
    grey = decode_grey(last.image, where="the picture", max_pixels=max_pixels)
    prediction = reader.predict(grey)
    best = prediction.top[0].label
    prepared, heat = reader.prepare(grey), occlusion(reader, grey, label=best)
    maps = reader.feature_maps(grey)
    figures = [
        _figure(
            "seen", data_uri(prepared), "What the model saw", f"{prepared.shape[1]}×{prepared.shape[0]} px"
        ),
        _figure(
            "saliency",
            data_uri(overlay(prepared, heat)),
            f"Evidence for {best}",
            "Orange: covering it makes the answer less likely. Blue: more likely.",
        ),
    ]
    grids = [
        _figure(
            f"stage-{number}",
            data_uri(channel_grid(maps[stage], most=MAX_CHANNELS)),
            stage,
            f"{min(MAX_CHANNELS, len(maps[stage]))} of {len(maps[stage])} channels, "
            f"{maps[stage].shape[2]}×{maps[stage].shape[1]} px each; bright is strong",
        )
        for number, stage in enumerate(stages)
        if stage in maps
    ]
    nothing = "" if reader.spec.feature_maps else hint_html("This model file has no feature maps to show.")
    return (
        f'<p class="verdict">{html.escape(verdict(prediction))}</p>'
        f'<div class="figures">{"".join(figures)}</div>'
        f'<div class="figures wide">{"".join(grids)}</div>{nothing}'
    )


def _figure(name: str, uri: str, title: str, text: str) -> str:
    title, text = html.escape(title), html.escape(text)
    return (
        f'<figure data-name="{name}"><img src="{uri}" alt="{title}">'
        f"<figcaption><b>{title}</b><br><small>{text}</small></figcaption></figure>"
    )


def build_inside(context: Context, tab: gr.Tab) -> None:
    spec = context.registry.spec(context.registry.default)
    stages = gr.Dropdown(
        list(spec.feature_maps),
        value=first_stages(spec.feature_maps),
        multiselect=True,
        label="Stages of the network, from the image to the answer",
        elem_id="stages",
    )
    view = gr.HTML(INSIDE_START, elem_id="inside")

    def choose(visit: Session, model: str) -> Any:
        try:
            found = visit.reader(context.registry, model).spec.feature_maps
        except KalamosError:  # the switcher says it
            found = ()
        return gr.update(choices=list(found), value=first_stages(found))

    def look(visit: Session, model: str, chosen: list[str] | None) -> str:
        if visit.last is None:
            return INSIDE_START
        try:
            reader = visit.reader(context.registry, model)
            return inside_html(reader, visit.last, chosen or (), context.limits.pixels)
        except KalamosError as error:
            return problem_html(error)

    session, model = context.session, context.model
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    model.change(choose, [session, model], stages, **quiet)
    gr.on([tab.select, stages.change], look, [session, model, stages], view, **quiet)
