"""The API over HTTP: a real server, a real client."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

import kalamos
from kalamos.app.api import create_app
from kalamos.app.errors import Limits
from kalamos.app.schema import Answer, Failure, Health, ModelDetails, Models
from kalamos.errors import ImageError
from kalamos.writers import open_writer

SAMPLES = Path(__file__).parents[2] / "samples"


def files(*images: bytes, name: str = "image.png") -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (name, image)) for image in images]


def rows(answer: httpx.Response) -> list[dict[str, object]]:
    assert answer.status_code == 200, answer.text
    Answer.model_validate_json(answer.content, strict=True)
    return answer.json()["results"]


def failure(answer: httpx.Response) -> dict[str, object]:
    Failure.model_validate_json(answer.content, strict=True)
    error = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def test_the_rows_are_those_of_the_command_line(client: httpx.Client, tmp_path: Path) -> None:
    paths = sorted(SAMPLES.glob("*.*"))
    names = [path.name for path in paths]
    answer = client.post("/v1/predict", files=[("image", (p.name, p.read_bytes())) for p in paths])
    reader = kalamos.load()
    columns = reader.answer_rule(kalamos.PredictOptions()).columns
    with (
        (tmp_path / "rows.json").open("wb") as sink,
        open_writer("json", sink, labels=(), top_k=5, columns=columns) as writer,
    ):
        for row in reader.predict_batch(paths):
            writer.write(row)
    expected = json.loads((tmp_path / "rows.json").read_bytes())
    for row, wanted in zip(rows(answer), expected, strict=True):
        code = row.pop("code")
        # The command line's message has the path that it was given; here that is the name that was sent.
        name = Path(str(wanted["path"])).name
        if wanted["error"]:
            wanted["error"] = wanted["error"].replace(wanted["path"], name)
        assert row == {**wanted, "path": name}
        assert (code is None) == (wanted["error"] is None)
    assert [row["path"] for row in rows(answer)] == names


def test_json_and_form_answer_alike(client: httpx.Client, one: bytes) -> None:
    data = base64.b64encode(one).decode()
    [row] = rows(client.post("/v1/predict", files=files(one)))
    [same] = rows(client.post("/v1/predict", json={"image": {"data": data, "name": "image.png"}}))
    assert row == same
    assert row["label"] == "1"
    [nameless] = rows(client.post("/v1/predict", json={"images": [data]}))
    assert nameless == {**row, "path": None}


def test_every_option(client: httpx.Client, one: bytes) -> None:
    def ask(**options: str) -> dict[str, object]:
        return rows(client.post("/v1/predict", files=files(one), data=options))[0]

    assert len(ask(top_k="3")["top"]) == 3  # type: ignore[arg-type]
    assert len(ask(top_k="1000")["top"]) == 10  # type: ignore[arg-type]
    unsure = ask(min_confidence="1")
    assert (unsure["abstained"], unsure["label"]) == (True, None)
    within = ask(charset="3 7")
    assert within["label"] in {"3", "7"}
    assert within["removed"] > 0.5  # type: ignore[operator]
    assert "removed" not in ask(model="digits")


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ({"model": "digit"}, "unknown_model", "did you mean 'digits'"),
        ({"model": "../zoo/digits.onnx"}, "unknown_model", "digits"),
        ({"charset": "é"}, "invalid_option", "lacks"),
        ({"charset": "digit"}, "invalid_option", "did you mean 'digits'"),
        ({"target_accuracy": "1.5"}, "invalid_field", "target_accuracy"),
        ({"min_confidence": "0.5", "target_accuracy": "0.9"}, "invalid_option", "both"),
        ({"min_confidence": "2"}, "invalid_field", "min_confidence"),
        ({"topk": "2"}, "unknown_field", "did you mean 'top_k'"),
    ],
)
def test_options_that_are_refused(
    client: httpx.Client, one: bytes, options: dict[str, str], code: str, told: str
) -> None:
    answer = client.post("/v1/predict", files=files(one), data=options)
    error = failure(answer)
    assert (answer.status_code, error["code"]) == (422, code)
    assert told in f"{error['message']} {error['remedy']}"


def test_options_in_the_address_are_not_passed_over(client: httpx.Client, one: bytes) -> None:
    answer = client.post("/v1/predict?top_k=3", files=files(one))
    assert (answer.status_code, failure(answer)["code"]) == (422, "unknown_field")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("imagepng", b"\x89PNG"),
        ("application/pdf", b"%PDF-1.7"),
        ("application/octet-stream", b"\x89PNG"),
        ("application/x-www-form-urlencoded", b"image=1"),
        ("text/plain", b"{}"),
        ("application/jsonp", b"{}"),
        ("", b""),
    ],
)
def test_other_kinds_of_body(client: httpx.Client, kind: str, body: bytes) -> None:
    answer = client.post("/v1/predict", content=body, headers={"content-type": kind})
    assert (answer.status_code, failure(answer)["code"]) == (415, "unsupported_media_type")
    assert answer.headers["accept"] == "multipart/form-data, application/json, image/*"


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/jpeg; q=1", "image/x-unknown"])
def test_a_body_that_is_an_image(client: httpx.Client, one: bytes, kind: str) -> None:
    [wanted] = rows(client.post("/v1/predict", files=files(one), data={"top_k": "2", "charset": "1 7"}))
    address = "/v1/predict?top_k=2&charset=1%207"
    [row] = rows(client.post(address, content=one, headers={"content-type": kind}))
    assert row == {**wanted, "path": None}


def test_an_image_as_the_body_that_cannot_be_read_is_a_row(client: httpx.Client, odd) -> None:
    for data, code in odd.values():
        [row] = rows(client.post("/v1/predict", content=data, headers={"content-type": "image/png"}))
        assert row["code"] == code


@pytest.mark.parametrize("kind", ["application/json", "image/png"])
def test_a_compressed_body(client: httpx.Client, kind: str) -> None:
    answer = client.post("/v1/predict", content=b"", headers={"content-type": kind} | GZIP)
    assert (answer.status_code, failure(answer)["code"]) == (415, "unsupported_encoding")


GZIP = {"content-encoding": "gzip"}


def _encoded(image: Image.Image, kind: str, path: Path, **options: object) -> bytes:
    image.save(path, kind, **options)
    return path.read_bytes()


@pytest.fixture(scope="module")
def odd(
    one: bytes, blank: bytes, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[bytes, str | None]]:
    """Bytes that come as images, and the code that they are answered with (None: read)."""
    path = tmp_path_factory.mktemp("odd") / "image"
    grey = Image.fromarray(cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_GRAYSCALE))
    clear = Image.merge("LA", (Image.new("L", grey.size), Image.fromarray(255 - np.asarray(grey))))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[274] = 6
    jpeg = _encoded(grey, "JPEG", path)
    huge = bytearray(one)
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    with Image.open(path) as still:
        frames = [still.convert("P")] * 2
    return {
        "jpeg": (jpeg, None),
        "alpha": (_encoded(clear, "PNG", path), None),
        "16 bit": (_encoded(deep, "PNG", path), None),
        "exif": (_encoded(grey.rotate(90), "JPEG", path, exif=exif), None),
        "cmyk": (_encoded(grey.convert("CMYK"), "JPEG", path), None),
        "webp": (_encoded(grey, "WEBP", path), None),
        "tiff": (_encoded(grey, "TIFF", path), None),
        "gif": (_encoded(frames[0], "GIF", path, save_all=True, append_images=frames[1:]), None),
        "one pixel": (_encoded(Image.new("L", (1, 1)), "PNG", path), "no_ink"),
        "blank": (blank, "no_ink"),
        "empty": (b"", "damaged"),
        "truncated jpeg": (jpeg[: len(jpeg) // 2], "damaged"),
        "truncated png": (one[: len(one) // 2], "damaged"),
        "eight bytes": (one[:8], "damaged"),
        "bomb": (bytes(huge), "too_large"),
        "text": (b"this is no image", "unsupported_format"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        "pdf": (b"%PDF-1.7 and so on", "unsupported_format"),
        "zip": (b"PK\x03\x04 and so on", "unsupported_format"),
        "html": (b"<!doctype html><script>alert(1)</script>", "unsupported_format"),
        "zeros": (bytes(1000), "unsupported_format"),
    }


def test_every_odd_image_is_a_row_and_stops_no_other(client: httpx.Client, odd, one: bytes) -> None:
    sent = [(f"{name}.png", data) for name, (data, _) in odd.items()]
    sent = [pair for each in sent for pair in (each, ("good.png", one))]
    answered = rows(client.post("/v1/predict", files=[("image", pair) for pair in sent]))
    assert [row["path"] for row in answered] == [name for name, _ in sent]
    assert {row["label"] for row in answered[1::2]} == {"1"}
    codes = {name: row["code"] for name, row in zip(odd, answered[::2], strict=True)}
    assert codes == {name: code for name, (_, code) in odd.items()}
    for row in answered[::2]:
        assert (row["error"] is None) == (row["code"] is None)
        if row["code"] not in {None, "no_ink"}:
            assert str(row["path"]) in str(row["error"])


def test_one_odd_image_alone_is_a_row_too(client: httpx.Client, odd) -> None:
    for data, code in odd.values():
        [row] = rows(client.post("/v1/predict", files=files(data)))
        assert row["code"] == code


def test_large_images_go_beside_the_small_ones(client: httpx.Client, one: bytes) -> None:
    page = np.full((2500, 2000), 255, np.uint8)
    page[300:2200, 900:1100] = 0
    large = cv2.imencode(".png", page)[1].tobytes()
    noise = np.random.default_rng(1).integers(200, 255, (600, 600)).astype(np.uint8)
    noise[100:500, 270:330] = 0
    heavy = cv2.imencode(".png", noise)[1].tobytes()
    assert len(large) < 100_000 < len(heavy), "one heavy by its pixels, one by its bytes"
    answered = rows(client.post("/v1/predict", files=files(one, large, heavy, one)))
    assert [row["label"] for row in answered] == ["1"] * 4


def test_no_message_has_a_path_or_a_traceback(client: httpx.Client, odd) -> None:
    texts = [
        client.post("/v1/predict", files=files(*[data for data, _ in odd.values()])).text,
        client.post("/v1/predict", content=b"{", headers={"content-type": "application/json"}).text,
        client.get("/nothing").text,
        client.get("/v1/models").text,
    ]
    for text in texts:
        assert not re.search(r"Traceback|File \"|\.py|\.onnx|site-packages|/home|/usr|src/", text)


def test_names_come_back_as_they_were_sent(client: httpx.Client, one: bytes) -> None:
    for name in ("حرف ا.png", "../../etc/passwd", "a\u2028b", "x" * 500, '"}<script>', "C:\\fakepath\\a.png"):
        image = {"data": base64.b64encode(one).decode(), "name": name}
        [row] = rows(client.post("/v1/predict", json={"image": image}))
        assert (row["path"], row["label"]) == (name, "1")


def test_what_the_server_has(client: httpx.Client) -> None:
    models = Models.model_validate_json(client.get("/v1/models").content)
    assert models.default == "digits"
    assert models.models[0].alphabet.labels == list("0123456789")
    health = Health.model_validate_json(client.get("/health").content)
    assert (health.status, health.version) == ("ok", kalamos.__version__)


def test_what_a_model_says_about_itself(client: httpx.Client) -> None:
    details = ModelDetails.model_validate_json(client.get("/v1/models/digits").content)
    [listed] = Models.model_validate_json(client.get("/v1/models").content).models
    assert details.model_dump(exclude={"spec", "card"}) == listed.model_dump()
    assert details.spec == json.loads(kalamos.load("digits").spec.to_json())
    assert (details.card or "").startswith("# digits\n")
    for name in ("digit", "..", "digits.onnx", "digits/", "%00"):
        answer = client.get(f"/v1/models/{name}")
        assert answer.status_code == 404
        failure(answer)
    assert failure(client.get("/v1/models/digit"))["code"] == "unknown_model"


def test_a_model_of_ones_own_says_not_where_it_learnt(ask_of: Callable, tmp_path: Path) -> None:
    from kalamos.app.batching import ModelRegistry
    from kalamos.zoo import model_path

    path = tmp_path / "digits.onnx"
    path.write_bytes(model_path("digits").read_bytes())
    with ask_of(create_app(ModelRegistry([path]))) as client:
        details = ModelDetails.model_validate_json(client.get("/v1/models/digits").content)
    assert details.card is None
    assert "recipe" not in details.spec["training"]
    assert details.spec["training"]["sha256"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/predict", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/predict/", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
    ],
)
def test_where_there_is_nothing(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    failure(answer)


def test_the_documents(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/predict"]["post"]
    assert set(operation["responses"]) == {"200", "408", "413", "415", "422", "429", "503", "504"}
    assert set(operation["requestBody"]["content"]) == {"multipart/form-data", "application/json", "image/*"}
    form = document["components"]["schemas"]["Form"]["properties"]
    assert {each["name"] for each in operation["parameters"]} == set(form) - {"image"}
    read, forms = (document["paths"][path]["post"] for path in ("/v1/read", "/v1/forms/{name}"))
    assert set(read["requestBody"]["content"]) >= {"image/*", "application/pdf"}
    assert [(each["name"], each["in"]) for each in forms["parameters"]] == [("name", "path")]
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert referred <= set(document["components"]["schemas"])
    assert "$defs" not in json.dumps(document)
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"<script|<link|src=|url\(|@import", page.text), "the manual asks others for nothing"
    for told in ("/v1/predict", "target_accuracy", "429", "JsonRequest"):
        assert told in page.text
    assert client.get("/").headers["location"] == "/docs"


def test_a_model_that_answers_nan(ask_of: Callable, tmp_path: Path, one: bytes) -> None:
    """In the declared form, not as an answer that is no JSON; other models' readers are answered still."""
    import onnx

    from kalamos.app.batching import ModelRegistry
    from kalamos.zoo import model_path

    model = onnx.load(model_path("digits"))
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "sound"
    model.graph.node.append(onnx.helper.make_node("Sub", ["sound", "sound"], ["zero"]))
    model.graph.node.append(onnx.helper.make_node("Div", ["zero", "zero"], ["logits"]))
    path = tmp_path / "secret-place.onnx"
    path.write_bytes(model.SerializeToString())
    with ask_of(create_app(ModelRegistry(["digits", path]))) as client:
        for _ in range(2):
            answer = client.post("/v1/predict", files=files(one), data={"model": "secret-place"})
            assert (answer.status_code, failure(answer)["code"]) == (503, "model_unusable")
            assert str(tmp_path) not in answer.text
        assert client.post("/v1/predict", files=files(one)).json()["results"][0]["label"] == "1"


def test_a_model_that_cannot_be_opened(ask_of: Callable, tmp_path: Path, one: bytes) -> None:
    from kalamos.app.batching import ModelRegistry
    from kalamos.zoo import model_path

    path = tmp_path / "secret-place.onnx"
    path.write_bytes(model_path("digits").read_bytes())
    app = create_app(ModelRegistry([path]))
    path.write_bytes(b"gone bad")
    with ask_of(app) as client:
        answer = client.post("/v1/predict", files=files(one))
        assert (answer.status_code, failure(answer)["code"]) == (503, "model_unusable")
        assert str(tmp_path) not in answer.text


def test_what_nobody_foresaw_is_told_without_details(ask_of: Callable, one: bytes, monkeypatch) -> None:
    from kalamos.app.batching import ModelRegistry

    registry = ModelRegistry(["digits"])

    def broken(name: str) -> object:
        raise RuntimeError("a detail of /some/path")

    monkeypatch.setattr(registry, "get", broken)
    with ask_of(create_app(registry, Limits())) as client:
        answer = client.post("/v1/predict", files=files(one))
        assert (answer.status_code, failure(answer)["code"]) == (500, "internal")
        assert "detail" not in answer.text
        assert client.get("/health").json()["waiting"] == 0


def test_errors_of_images_have_a_code_each() -> None:
    kinds = ImageError.__subclasses__()
    assert len({kind.summary for kind in kinds}) == len(kinds)
