"""Requests to `kalamos app`: heads, bodies, pipelines, events of the page, visits, and the end under load."""

from __future__ import annotations

import base64
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.case import Case, case_number, mutated
from fuzz.child import Problem
from fuzz.images import draw as draw_image
from fuzz.images.pictures import encoded
from fuzz.report import Report
from fuzz.runner import Plan
from fuzz.runs import edited_document
from fuzz.server import Server
from fuzz.talking import answers_to, check_ending, check_events, check_eviction, check_page, check_pipeline
from fuzz.watching import Outcome

__all__ = ["draw", "fuzz_requests", "try_request"]

LOGGED = re.compile(r"\d{4}-\d\d-\d\d |ended$|kalamos")
"""How the lines begin that kalamos itself writes."""

HEAD_BYTES = 64 * 1024
"""A head longer than this must not be taken."""


def draw(rng: random.Random) -> Case:
    """A JSON document that says what to send."""
    recipes = {
        _head: 5,
        _long_head: 1.5,
        _predict_form: 5,
        _predict_json: 5,
        _page: 8,
        _pipeline: 0.6,
        _events: 0.3,
        _eviction: 0.3,
        _ending: 0.6,
    }
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def _case(what: str, do: str, **document: Any) -> Case:
    return Case(f"request: {what}", "request.json", json.dumps({"do": do, **document}).encode())


def _raw(what: str, data: bytes, *, images: int | None = None, head: int = 0) -> Case:
    return _case(what, "send", data=base64.b64encode(data).decode(), images=images, head=head)


PATHS = (
    "/health",
    "/v1/models",
    "/docs",
    "/openapi.json",
    "/",
    "/config",
    "/v1/predict",
    "/v1/read",
    "/v1/forms",
    "/v1/forms/exam",
    "/v1/forms/%2e%2e",
    "/nothing",
    "/gradio_api/file=/etc/passwd",
)
ODD_PATHS = (
    "/%00",
    "/../../etc/passwd",
    "/health?" + "a" * 3_000,
    "//health",
    "/v1/predict?top_k=1",
    "*",
    "http://x/health",
    "/é",
    "/health#x",
)
METHODS = (
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PATCH",
    "get",
    "G\0T",
    "PRI",
    "",
)
HEADERS = (
    *(
        "Content-Length: -1",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 99999999999999999999",
        "Content-Length: x",
    ),
    *(
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
    ),
    *(
        "Expect: 100-continue",
        "Upgrade: h2c\r\nConnection: Upgrade",
        "Connection: close",
        "Cookie: kalamos_session=x; =;\xff",
    ),
    *(
        "Content-Encoding: gzip",
        "Range: bytes=0-1",
        "X: a\r\n b",
        "X : y",
        ": y",
        "X\0: y",
        "Origin: http://evil",
        "Host: evil",
    ),
)


def _request(
    method: str, path: str, headers: list[str], body: bytes = b"", host: str = "Host: 127.0.0.1"
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", host, *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


def _head(rng: random.Random) -> Case:
    """Methods, paths and headers of chance; sometimes several requests behind each other."""
    data = b""
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        path = rng.choice(PATHS if rng.random() < 0.6 else ODD_PATHS)
        headers = [rng.choice(HEADERS) for _ in range(rng.randint(0, 3))]
        body = rng.choice(
            (b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"ffffffffffffffff\r\nx", b"1;" + b"x" * 9_000)
        )
        data += _request(rng.choice(METHODS if rng.random() < 0.4 else ("GET", "POST")), path, headers, body)
    if rng.random() < 0.2:
        data = mutated(rng, data)
    return _raw("heads", data)


def _long_head(rng: random.Random) -> Case:
    """A head of more than 64 KiB, in one line or in many, come at once or beside a body."""
    size = rng.choice((66_000, 70_000, 100_000, 500_000))
    headers = rng.choice(
        (
            [f"X: {'a' * size}"],
            [f"X{number}: {'a' * 100}" for number in range(size // 100)],
            [f"Cookie: {'a=b; ' * (size // 5)}"],
        )
    )
    method, path, body = rng.choice(
        (("GET", "/health", b""), ("GET", "/v1/models", b""), ("POST", "/v1/predict", b"x" * 10))
    )
    if body:
        headers.append(f"Content-Length: {len(body)}")
    data = _request(method, path, headers, body)
    return _raw("heads longer than 64 KiB", data, head=len(data) - len(body))


def _picture(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        case = draw_image(rng)
        if case.size < 1_000_000:
            return case.content
    return encoded(rng, rng.choice((".png", ".jpg", ".bmp")))


def _predict_form(rng: random.Random) -> Case:
    """Forms: parts, names, boundaries."""
    boundary = rng.choice((b"x", b"x", b"x", b"----WebKitFormBoundary7", b"", b'"', b"x" * 300))
    parts = b""
    images = rng.choice((0, 1, 1, 2, 5))
    for number in range(images):
        name = rng.choice(
            (
                b'name="image"; filename="a.png"',
                b'name="images"; filename="\xff\x1b[2J.png"',
                b'name="image"',
                b'filename="a"; name="image"',
            )
        )
        parts += (
            b"--"
            + boundary
            + b"\r\nContent-Disposition: form-data; "
            + name
            + b"\r\n\r\n"
            + _picture(rng)
            + b"\r\n"
        )
        del number
    odd = rng.random() < 0.6
    for _ in range(rng.randint(1, 3) if odd else 0):
        field = rng.choice(
            (
                b'name="top_k"',
                b'name="charset"',
                b'name="x"',
                b"name=",
                b'name="model"',
                b"",
                b'name="min_confidence"',
            )
        )
        value = rng.choice((b"1", b"-1", b"nan", b"1e999", b"\xff", b"9" * 400, b"digits", b""))
        parts += (
            b"--" + boundary + b"\r\nContent-Disposition: form-data; " + field + b"\r\n\r\n" + value + b"\r\n"
        )
    body = parts + b"--" + boundary + b"--\r\n"
    if rng.random() < 0.3:
        body, odd = mutated(rng, body), True
    headers = [
        f"Content-Type: multipart/form-data; boundary={boundary.decode('latin-1')}",
        f"Content-Length: {len(body)}",
    ]
    path = rng.choice(("/v1/predict", "/v1/predict", "/v1/read"))
    sound = not odd and boundary in {b"x", b"----WebKitFormBoundary7"} and images and path == "/v1/predict"
    return _raw("forms", _request("POST", path, headers, body), images=images if sound else None)


def _predict_json(rng: random.Random) -> Case:
    """JSON: odd values, nesting, what is no base64."""
    picture = base64.b64encode(_picture(rng)).decode()
    document: Any = {"image": picture, "top_k": 3, "min_confidence": 0.1, "charset": "digits"}
    if rng.random() < 0.5:
        document = {
            "images": [picture, {"data": "data:image/png;base64," + picture, "name": "a.png"}],
            "model": "digits",
        }
    text = json.dumps(edited_document(rng, document, changes=rng.choice((0, 1, 1, 2))))
    if rng.random() < 0.2:
        text = rng.choice(
            (
                "[" * 60_000,
                '{"a":' * 50_000,
                text[:-4],
                text.replace("3", "NaN"),
                "\ufeff" + text,
                '"\\ud800"',
                text * 2,
            )
        )
    body = text.encode("utf-8", "surrogatepass")
    headers = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return _raw("JSON", _request("POST", rng.choice(("/v1/predict", "/v1/read")), headers, body))


def _page(rng: random.Random) -> Case:
    """Events of the page that name files which this visit did not upload."""
    return _case("files of others in events", "page", seed=rng.randrange(2**32), events=6)


def _pipeline(rng: random.Random) -> Case:
    """Requests by the hundred on connections whose answers nobody reads."""
    path = rng.choice(("/openapi.json", "/docs", "/config", "/health", "/v1/models"))
    return _case(
        "answers that nobody reads",
        "pipeline",
        path=path,
        connections=100,
        requests=rng.choice((800, 5_400)),
        seconds=8,
    )


def _events(rng: random.Random) -> Case:
    """Events of megabytes that wait for each other."""
    return _case(
        "large events that wait", "events", count=rng.choice((40, 80)), megabytes=rng.choice((5, 15))
    )


def _eviction(rng: random.Random) -> Case:
    """Requests without a cookie, while somebody has files there."""
    path = rng.choice(("/robots.txt", "/theme.css", "/favicon.ico"))
    return _case("many visitors without a cookie", "eviction", count=rng.choice((1_050, 1_200)), path=path)


def _ending(rng: random.Random) -> Case:
    """SIGTERM while many are being answered, the page open in one of them."""
    return _case(
        "the end under load", "ending", clients=rng.choice((16, 64)), page=rng.random() < 0.7, seconds=1.0
    )


def fuzz_requests(plan: Plan, report: Report) -> None:
    """Try cases until the time is over; a server that has shown a fault is begun anew."""
    number, began = 0, time.monotonic()
    server: Server | None = None
    try:
        while number < plan.cases if plan.cases is not None else time.monotonic() - began < plan.seconds:
            case = case_number(draw, "requests", plan.seed, number)
            server = server or _start(plan)
            outcome = _tried(server, case)
            report.add("requests", plan.seed, number, outcome)
            if (
                not server.is_alive
                or server.peak > plan.limits.megabytes
                or "ending" in case.content.decode()[:20]
            ):
                server.kill()
                server = None
            number += 1
    finally:
        if server is not None:
            server.kill()
    report.seconds["requests"] += time.monotonic() - began


def try_request(plan: Plan, case: Case) -> Outcome:
    """Try one case with a server of its own."""
    with _start(plan) as server:
        return _tried(server, case)


def _start(plan: Plan) -> Server:
    work = plan.folder / "work-requests"
    server = Server(work, plan.source, plan.limits, "--corrections", str(work / "corrections"))
    rng = random.Random(0)
    for suffix in (".png", ".tiff", ".jpg"):  # what is loaded and started at the first request counts as idle
        data = encoded(rng, suffix)
        form = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + data + b"\r\n--x--\r\n"
        answers_to(
            server.port,
            _request(
                "POST",
                "/v1/predict",
                ["Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(form)}"],
                form,
            ),
        )
    check_page(server, 0, 0)
    server.begin()
    server.said()
    return server


CHECKS: dict[str, Callable[..., tuple[str, list[Problem]]]] = {
    "page": lambda server, asked: check_page(server, asked["seed"], asked["events"]),
    "pipeline": lambda server, asked: check_pipeline(
        server, asked["path"], asked["connections"], asked["requests"], asked["seconds"]
    ),
    "events": lambda server, asked: check_events(server, asked["count"], asked["megabytes"]),
    "eviction": lambda server, asked: check_eviction(server, asked["count"], asked["path"]),
    "ending": lambda server, asked: check_ending(
        server, asked["clients"], asked["seconds"], page=asked["page"]
    ),
}


def _tried(server: Server, case: Case) -> Outcome:
    asked = json.loads(case.content)
    server.begin()
    began = time.monotonic()
    check = CHECKS.get(asked["do"], _check_answers)
    told, problems = check(server, asked)
    seconds = time.monotonic() - began
    if asked["do"] != "ending" and not server.is_alive:
        problems.append(("the server died", f"exit status {server.process.poll()}"))
    said = server.said()
    if "Traceback" in said:
        problems.append(("a traceback of the server", said.strip().splitlines()[-1][:160]))
    elif foreign := [line for line in said.splitlines() if line and not LOGGED.match(line)]:
        problems.append(("text on standard error", foreign[0][:160]))
    if server.peak > server.limits.megabytes:
        problems.append(("too much memory", f"more than {server.limits.megabytes:g} MB above idle"))
    return Outcome(case, told, tuple(problems), seconds, server.peak)


def _check_answers(server: Server, asked: dict[str, Any]) -> tuple[str, list[Problem]]:
    answers, ended, seconds = answers_to(server.port, base64.b64decode(asked["data"]))
    problems: list[Problem] = []
    if not ended:
        problems.append(("no answer", f"neither an answer nor a closed connection after {seconds:.0f} s"))
    for status, headers, body in answers:
        if status == 500 or status not in {
            *range(100, 104),
            *range(200, 210),
            *range(300, 309),
            *range(400, 432),
            503,
            504,
        }:
            problems.append(("an answer of no declared kind", f"status {status}"))
        if status >= 400 and "json" in headers.get("content-type", ""):
            problems += _wrong_refusal(status, body)
        elif status >= 400 and asked["do"] == "send" and status != 404 and body:
            problems.append(("a refusal that is not JSON", f"status {status}: {body[:60]!r}"))
    if asked["head"] > HEAD_BYTES and any(status < 400 for status, _, _ in answers):
        problems.append(
            ("a head longer than 64 KiB was taken", f"{answers[0][0]} for {asked['head'] // 1000} kB")
        )
    if asked["images"] and answers and answers[0][0] == 200:
        rows = json.loads(answers[0][2])["results"]
        if len(rows) != asked["images"]:
            problems.append(("a row missing", f"{len(rows)} rows for {asked['images']} images"))
    return " ".join(str(status) for status, _, _ in answers[:3]) or "closed", problems


def _wrong_refusal(status: int, body: bytes) -> list[Problem]:
    try:
        error = json.loads(body)["error"]
        sound = {"code", "message", "request_id"} <= set(error)
    except (ValueError, KeyError, TypeError):
        sound = not body  # an answer to HEAD has none
    return [] if sound else [("a refusal in another form", f"status {status}: {body[:80]!r}")]


def saved(path: Path) -> Any:
    """What a saved case says, for people."""
    return json.loads(path.read_text("utf-8"))
