"""Talking to a server: bytes sent as they are, events of the page, many connections at once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from fuzz.child import Problem
from fuzz.images.pictures import encoded
from fuzz.server import OpenedFiles, Server, wait_until

__all__ = [
    "Answer",
    "answers_to",
    "check_ending",
    "check_events",
    "check_eviction",
    "check_page",
    "check_pipeline",
]

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers by their lower-case names, body."""

PATIENCE = 14.0
"""Seconds: the server hangs up on an unfinished request after 10."""

QUIET = 0.2
"""Seconds without more, after which a whole answer is the last one."""

UNANSWERED = 3.0
"""Seconds after which more is taken to be waited for."""


def answers_to(port: int, data: bytes) -> tuple[list[Answer], bool, float]:
    """The answers to some bytes, whether all came that will, and after how long.

    What is no whole request has no answer until no more can come: then the sending side is closed. Not
    before, as a server need not answer a client that has gone.
    """
    began = time.monotonic()
    received = b""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):  # refused before all was sent: what was answered is there to read
            connection.sendall(data)
        connection.settimeout(QUIET)
        sending = True
        while time.monotonic() - began < PATIENCE:
            try:
                more = connection.recv(1 << 16)
            except TimeoutError:
                if _is_whole(received):
                    return _parsed(received), True, time.monotonic() - began
                if sending and time.monotonic() - began > UNANSWERED:
                    sending = False
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_WR)
                continue
            except OSError:
                more = b""
            if not more:
                return _parsed(received), True, time.monotonic() - began
            received += more
    return _parsed(received), False, time.monotonic() - began


def _is_whole(data: bytes) -> bool:
    """Whether the last answer in it has come to its end."""
    answers = _parsed(data)
    if not answers:
        return False
    _, headers, body = answers[-1]
    if "chunked" in headers.get("transfer-encoding", ""):
        return data.endswith(b"0\r\n\r\n")
    return not body or len(body) >= int(headers.get("content-length", 0))


def _parsed(data: bytes) -> list[Answer]:
    answers: list[Answer] = []
    while data.startswith(b"HTTP/1."):
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        status = int(first.split()[1])
        if "chunked" in headers.get("transfer-encoding", ""):
            body, data = _unchunked(data)
        else:
            # An answer to HEAD tells a length and has no body: the next answer then begins at once.
            length = 0 if data.startswith(b"HTTP/1.") else int(headers.get("content-length", 0))
            body, data = data[:length], data[length:]
        answers.append((status, headers, body))
    return answers


def _unchunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        try:
            length = int(size, 16)
        except ValueError:
            return body, b""
        body, data = body + data[:length], data[length + 2 :]
        if not length:
            break
    return body, data


class Visit:
    """A browser that shows the page."""

    def __init__(self, port: int) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        self.hash = secrets.token_hex(6)
        self.config = self.client.get("/config").json()

    def upload(self, name: str, content: bytes) -> str | None:
        """The path of the server's copy."""
        answer = self.client.post("/gradio_api/upload", files=[("files", (name, content))])
        return str(answer.json()[0]) if answer.status_code == 200 else None

    def join(self, number: int, data: list[Any]) -> httpx.Response:
        """Ask for an event."""
        return self.client.post(
            "/gradio_api/queue/join", json={"data": data, "fn_index": number, "session_hash": self.hash}
        )

    def call(self, number: int, data: list[Any]) -> Any:
        """Ask for an event and wait for what it gives; None where it is refused."""
        if self.join(number, data).status_code != 200:
            return None
        with self.client.stream("GET", f"/gradio_api/queue/data?session_hash={self.hash}") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    if message["msg"] in {
                        "process_completed",
                        "close_stream",
                        "unexpected_error",
                        "server_stopped",
                    }:
                        return message.get("output")
        return None

    def close(self) -> None:
        self.client.close()


def check_page(server: Server, seed: int, events: int) -> tuple[str, list[Problem]]:
    """Name files in events that this visit did not upload; none of them may be opened."""
    rng = random.Random(seed)
    secret = server.folder / "secret"
    secret.mkdir(exist_ok=True)
    victims = [secret / "picture.png", secret / "forms.zip", secret / "model.onnx"]
    for path in victims:
        path.write_bytes(encoded(rng, ".png"))
    link = secret / "link.png"
    with contextlib.suppress(FileExistsError):
        link.symlink_to(victims[0])
    visit, other = Visit(server.port), Visit(server.port)
    try:
        theirs, ours = (
            other.upload("theirs.png", encoded(rng, ".png")),
            visit.upload("ours.png", encoded(rng, ".png")),
        )
        if theirs is not None:
            victims.append(Path(theirs))
        with OpenedFiles(victims) as watch:
            problems: list[Problem] = []
            for _ in range(events):
                target = rng.choice([*victims, link])
                told = _hostile_event(rng, visit, target, ours, server.folder)
                time.sleep(0.05)
                if found := watch.opened():
                    problems.append(
                        ("a file was opened that this visit did not upload", f"{min(found).name}: {told}")
                    )
            return "refused" if not problems else "opened", problems
    finally:
        visit.close()
        other.close()


def _hostile_event(rng: random.Random, visit: Visit, target: Path, ours: str | None, folder: Path) -> str:
    """Send one; returns what it was."""
    if rng.random() < 0.15:
        path = rng.choice((str(target), f"//{target}", f"/proc/self/root{target}", _relative(target, folder)))
        answer = visit.client.get(f"/gradio_api/file={path}")
        return f"GET file={path} answered {answer.status_code}"
    kinds = {each["id"]: each["type"] for each in visit.config["components"]}
    events = [
        each for each in visit.config["dependencies"] if each["inputs"] and each.get("backend_fn", True)
    ]
    taking = [
        each
        for each in events
        if any(kinds.get(one) in {"image", "file", "gallery", "uploadbutton"} for one in each["inputs"])
    ]
    event = rng.choice(taking if taking and rng.random() < 0.8 else events)
    props = {each["id"]: each["props"] for each in visit.config["components"]}
    data = [
        _file_object(rng, target, ours, folder)
        if kinds.get(one) in {"image", "file", "gallery", "uploadbutton"} or rng.random() < 0.1
        else _plain(kinds.get(one), props.get(one, {}))
        for one in event["inputs"]
    ]
    visit.call(event["id"], data)
    return (
        f"event {event['id']} ({[kinds.get(one) for one in event['inputs']]}) with {json.dumps(data)[:200]}"
    )


def _plain(kind: str | None, props: dict[str, Any]) -> Any:
    """A value that a component of this kind may well have."""
    if "value" in props and props["value"] is not None:
        return props["value"]
    return {"number": 1, "slider": 0, "checkbox": False, "textbox": "", "state": None}.get(kind or "")


def _relative(target: Path, folder: Path) -> str:
    return os.path.relpath(target, folder)


def _file_object(rng: random.Random, target: Path, ours: str | None, folder: Path) -> Any:
    """An object that means a file to Gradio, or may be taken for one."""
    plain = str(target)
    forms = [
        plain,
        plain,
        _relative(target, folder),
        f"//{plain}",
        f"/proc/self/root{plain}",
        f"file://{plain}",
    ]
    forms += [plain.replace("/", "\\"), f"{ours}/../../../..{plain}"]
    if ours:
        forms.append(f"{Path(ours).parent}/../{target.name}")
    path = rng.choice(forms)
    meta = {"_type": "gradio.FileData"}
    url = rng.choice(
        (
            None,
            "",
            f"/gradio_api/file={path}",
            f"http://127.0.0.1/gradio_api/file={path}",
            f"file://{target}",
            path,
        )
    )
    one: Any = rng.choice(
        (
            {"path": path},
            {"path": path, "meta": meta},
            {"path": path, "orig_name": "x.png", "size": 5},
            {"path": path, "url": url, "meta": meta},
            {"path": ours, "url": url, "meta": meta},
            {"url": url, "orig_name": path},
            {"path": ours, "orig_name": path, "meta": meta},
            {"path": ours, "meta": meta, "data": {"path": path}},
            {"path": path, "meta": {"_type": "x"}, "is_stream": True},
            path,
        )
    )
    return rng.choice(
        (
            one,
            one,
            [one],
            [[one]],
            {"image": one},
            {"files": [one]},
            {"background": one, "layers": [one], "composite": one},
        )
    )


def check_pipeline(
    server: Server, path: str, connections: int, requests: int, seconds: float
) -> tuple[str, list[Problem]]:
    """Send requests behind each other, read no answer, and watch the memory."""
    held: list[socket.socket] = []
    data = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * requests
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", server.port), 5)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.send(data)
        held.append(connection)
    wait_until(lambda: not server.is_alive or server.peak > server.limits.megabytes, seconds)
    problems = _silence(server)
    for connection in held:
        connection.close()
    return f"{server.peak:.0f} MB", problems


def _silence(server: Server) -> list[Problem]:
    """Whether others are still answered."""
    if not server.is_alive:
        return []
    with contextlib.suppress(OSError):
        answers, _, seconds = answers_to(
            server.port, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        if answers and seconds < 5:
            return []
    return [("others are not answered", "no answer from /health within 5 s")]


def check_events(server: Server, count: int, megabytes: int) -> tuple[str, list[Problem]]:
    """Queue events whose data is large, and watch the memory."""
    visit = Visit(server.port)
    statuses: Counter[int] = Counter()
    try:
        event = next(each for each in visit.config["dependencies"] if each["inputs"])
        data = ["x" * (megabytes * 1_000_000 - 1_000), *[None] * (len(event["inputs"]) - 1)]
        for number in range(count):
            visit.hash = f"{number:08x}"
            with contextlib.suppress(httpx.HTTPError):
                statuses[visit.join(event["id"], data).status_code] += 1
            if server.peak > server.limits.megabytes or not server.is_alive:
                break
        return str(dict(statuses)), _silence(server)
    finally:
        visit.close()


def check_eviction(server: Server, count: int, path: str) -> tuple[str, list[Problem]]:
    """Requests without a cookie must not take a visit's files away."""
    visit = Visit(server.port)
    try:
        mine = visit.upload("mine.png", encoded(random.Random(0), ".png"))
        if mine is None or visit.client.get(f"/gradio_api/file={mine}").status_code != 200:
            return "no upload", [("an upload is not shown to who made it", str(mine))]
        with httpx.Client(base_url=visit.client.base_url, timeout=20) as stranger:
            for _ in range(count):
                stranger.cookies.clear()
                stranger.get(path)
        status = visit.client.get(f"/gradio_api/file={mine}").status_code
        return str(status), [] if status == 200 else [
            ("a visit was lost", f"its own file answers {status} after requests without a cookie")
        ]
    finally:
        visit.close()


def check_ending(server: Server, clients: int, seconds: float, *, page: bool) -> tuple[str, list[Problem]]:
    """SIGTERM while clients are being answered: each has an answer or a refusal, none is cut off."""
    counted: Counter[str] = Counter()
    stop = threading.Event()
    picture = encoded(random.Random(1), ".png")
    form = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + picture + b"\r\n--x--\r\n"
    head = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
    request = head % len(form) + form
    threads = [
        threading.Thread(target=_ask_on, args=(server.port, request, stop, counted)) for _ in range(clients)
    ]
    visit = Visit(server.port) if page else None
    shown = threading.Thread(target=_show, args=(visit,), daemon=True) if visit else None
    for thread in (*threads, *([shown] if shown else ())):
        thread.start()
    time.sleep(seconds)
    code = server.terminate()
    stop.set()
    for thread in threads:
        thread.join(20)
    problems: list[Problem] = []
    if code is None:
        problems.append(("does not end at SIGTERM", "still running after 20 s"))
    elif code != 0 and code not in {143, 130}:
        problems.append(("ends badly at SIGTERM", f"exit status {code}"))
    problems += [
        (f"answers {fault} at SIGTERM", f"{counted[fault]} of {clients} clients")
        for fault in ("reset", "cut off")
        if counted[fault]
    ]
    if visit:
        visit.close()
    return str(dict(counted)), problems


def _show(visit: Visit) -> None:
    """Hold open what a page in a browser does."""
    with (
        contextlib.suppress(Exception),
        visit.client.stream("GET", f"/gradio_api/heartbeat/{visit.hash}") as stream,
    ):
        for _ in stream.iter_raw():
            pass


def _ask_on(port: int, request: bytes, stop: threading.Event, counted: Counter[str]) -> None:
    """Ask again and again on connections that are kept, until the server has gone."""
    while not stop.is_set():
        try:
            connection = socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            counted["gone"] += 1
            return
        with connection:
            connection.settimeout(15)
            while not stop.is_set():
                told = _ask(connection, request)
                counted[told] += 1
                if told != "answered":
                    break


def _ask(connection: socket.socket, request: bytes) -> str:
    received = b""
    try:
        connection.sendall(request)
        while True:
            more = connection.recv(1 << 16)
            if not more:
                return "cut off" if received else "closed"
            received += more
            head, blank, body = received.partition(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if blank and (not lengths or len(body) >= int(lengths[0].split(b":")[1])):
                return "answered" if received[9:12] == b"200" else f"refused {received[9:12].decode()}"
    except ConnectionResetError:
        return "reset"
    except OSError:
        return "broken"
