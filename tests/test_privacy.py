"""Nothing leaves the computer, and no library leaves a file in the home or the temporary folder.

Each command is run with an empty home and an empty temporary folder, under strace where it is installed. With
KALAMOS_REQUIRE_STRACE=1, which `.ci/run` sets, the tests that need it may not be skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from PIL import Image

from kalamos import privacy

ROOT = Path(__file__).parents[1]
CLI = ("-m", "kalamos")
TRACED = "trace=connect,sendto,sendmsg,sendmmsg,openat,open,creat,mkdir,mkdirat"

LOAD = """
import kalamos, time
assert kalamos.load("digits").predict("samples/0-pen.png").label == "0"
time.sleep(3)  # what a library sends, it sends from a thread of its own
"""

# Starts the app, asks for a page and a reading, and ends it.
SERVE = """
import http.client, re, signal, subprocess, sys
server = subprocess.Popen(
    [sys.executable, "-m", "kalamos", "app", "--port", "0", *sys.argv[1:]], stdout=subprocess.PIPE, text=True
)
address = re.search("http://([^ ]+)", server.stdout.readline())[1]
for method, path, body in (
    ("GET", "/docs", None),
    ("GET", "/", None),
    ("POST", "/v1/predict", open("samples/0-pen.png", "rb").read()),
):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, body, {"Content-Type": "image/png"} if body else {})
    answer = connection.getresponse()
    print(method, path, answer.status, len(answer.read()))
server.send_signal(signal.SIGINT)
server.wait(30)
"""

NEEDS = {"train": "torch", "export": "torch", "compare": "torch", "evaluate": "matplotlib", "teach": "onnx"}
NEEDS |= {"documents": "pypdfium2", "api": "uvicorn", "page": "gradio"}
COMMANDS = (
    "predict",
    "documents",
    "load",
    "api",
    "page",
    "teach",
    "evaluate",
    "inspect",
    "train",
    "export",
    "compare",
)


@cache
def strace() -> str | None:
    """The program, if it is installed and may trace here."""
    found = shutil.which("strace")
    if (
        found
        and subprocess.run([found, "-o", os.devnull, "true"], capture_output=True, check=False).returncode
    ):
        found = None
    if not found and os.environ.get("KALAMOS_REQUIRE_STRACE") == "1":
        pytest.fail("KALAMOS_REQUIRE_STRACE=1, and there is no strace that works")
    return found


def fresh(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a user who has just come to this machine."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    kept = ("PATH", "PYTHONPATH", "LANG", "SYSTEMROOT")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        **more,
    }


def left_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for name in ("home", "tmp") for path in (folder / name).rglob("*")
    )


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of twelve images."""
    folder = tmp_path_factory.mktemp("characters")
    generator = np.random.default_rng(0)
    for label in "01":
        (folder / label).mkdir()
        for number in range(12):
            image = np.full((40, 40), 255, np.uint8)
            at = (8 + int(generator.integers(-3, 4)), 28 + int(generator.integers(-3, 4)))
            cv2.putText(image, label, at, cv2.FONT_HERSHEY_SIMPLEX, 1, 0, 2, cv2.LINE_AA)
            cv2.imwrite(str(folder / label / f"{number}.png"), image)
    return folder


def arguments(name: str, characters: Path, work: Path) -> tuple[str, ...]:
    """What Python is called with."""
    match name:
        case "predict":
            return *CLI, "predict", "samples/0-pen.png", "samples/1-marker.png"
        case "documents":
            import pillow_heif

            sample = Image.open(ROOT / "samples" / "0-pen.png").convert("L")
            sample.save(work / "a.pdf", save_all=True, append_images=[sample])
            pillow_heif.from_pillow(sample).save(work / "a.heic")
            inputs = (str(work / "a.pdf"), str(work / "a.heic"))
            return *CLI, "predict", *inputs, "-o", str(work / "rows.xlsx")
        case "load":
            return "-c", LOAD
        case "api":
            return "-c", SERVE, "--api-only"
        case "page":
            return "-c", SERVE, "--corrections", str(work / "corrections")
        case "teach":
            return *CLI, "teach", "digits", str(characters), "-o", str(work / "taught.onnx")
        case "evaluate":
            return (
                *CLI,
                "evaluate",
                "digits",
                str(characters),
                "--report",
                str(work / "report"),
            )
        case "inspect":
            return *CLI, "data", "inspect", str(characters)
        case "train":
            return *CLI, "train", str(characters), "--epochs", "1", "--run-dir", str(work / "run")
        case "export":
            return *CLI, "export", "digits", "-f", "pt2", "-o", str(work / "digits.pt2")
        case _:
            networks = ("--arch", "kalamos_xs", "--arch", "cnn2")
            return (
                *CLI,
                "compare",
                str(characters),
                *networks,
                "--epochs",
                "1",
                "-o",
                str(work / "compared"),
            )


def run(name: str, characters: Path, folder: Path) -> str | None:
    """Run a command as a new user would; return its trace, None without strace."""
    work, log = folder / "work", folder / "trace"
    work.mkdir()
    tracer = strace()
    tracing = (
        (tracer, "-f", "--seccomp-bpf", "-qq", "-s", "300", "-e", TRACED, "-o", str(log)) if tracer else ()
    )
    done = subprocess.run(
        [*tracing, sys.executable, *arguments(name, characters, work)],
        cwd=ROOT,
        env=fresh(folder),
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return log.read_text(errors="replace") if tracer else None


def created_elsewhere(trace: str) -> list[str]:
    """The paths beyond the folders of the tests that were created."""
    given = re.findall(r'"(/[^"]+)", [^"]*O_CREAT[^"]*\) = \d', trace)
    given += re.findall(r'mkdir(?:at)?\((?:AT_FDCWD, )?"(/[^"]+)"[^"]*\) = 0', trace)
    # /dev: semaphores of Python's multiprocessing, and the terminal.
    base = str(Path(os.environ.get("PYTEST_DEBUG_TEMPROOT", "/tmp")))  # noqa: S108
    expected = ("/dev/", base, "/private/")
    return [path for path in given if not path.startswith(expected) and "__pycache__" not in path]


# One test a command: each runs for seconds, and tests are spread over processes that share no fixture.
@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_leaves_nothing_and_reaches_nobody(name: str, characters: Path, tmp_path: Path) -> None:
    """Nothing in the home or the temporary folder; under strace, no socket beyond loopback, no name looked
    up, and nothing created elsewhere.
    """
    pytest.importorskip(NEEDS.get(name, "kalamos"))
    trace = run(name, characters, tmp_path)
    assert left_in(tmp_path) == []
    if trace is not None:
        assert "openat(" in trace  # it did trace
        assert ".pyi" not in trace  # Gradio's stubs
        assert reached(trace) == []
        assert created_elsewhere(trace) == []
    shutil.rmtree(tmp_path / "work")


def reached(trace: str) -> list[str]:
    """The lines that name an address beyond loopback, a name server, or the list of name servers.

    >>> reached('7 connect(3, {sa_family=AF_INET, sin_addr=inet_addr("127.0.0.1")}, 16) = 0')
    []
    >>> len(reached('7 connect(3, {sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0'))
    1
    """
    found = []
    for line in trace.splitlines():
        hosts = re.findall(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', line)
        beyond = [host for pair in hosts for host in pair if host and not host.startswith(("127.", "::1"))]
        if beyond or "htons(53)" in line or '"/etc/resolv.conf"' in line:
            found.append(line)
    return found


def test_what_is_reached_is_seen(tmp_path: Path) -> None:
    """The checks above can fail: Python asks for a name, and sends to an address of no one (RFC 5737)."""
    if (tracer := strace()) is None:
        pytest.skip("strace is not installed, or may not trace here")
    program = (
        "import socket\n"
        "socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))\n"
        "try: socket.getaddrinfo('kalamos.invalid', 80)\n"
        "except OSError: pass\n"
    )
    log = tmp_path / "trace"
    tracing = [tracer, "-f", "-qq", "-e", TRACED, "-o", str(log)]
    subprocess.run([*tracing, sys.executable, "-c", program], check=True, timeout=60)
    seen = "\n".join(reached(log.read_text()))
    assert "192.0.2.1" in seen
    assert "resolv.conf" in seen or "htons(53)" in seen


@pytest.mark.skipif(not find_spec("ray"), reason="needs the extra 'cluster'")
def test_a_cluster_of_our_own_leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ray")
    done = subprocess.run(
        [sys.executable, *CLI, "predict", "samples/0-pen.png", "--engine", "ray"],
        cwd=ROOT,
        env=fresh(folder),
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert left_in(folder) == []


IMPORTS = """
import sys, warnings
{first}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import kalamos, kalamos.recognizer
    import importlib; importlib.reload(kalamos)
import os
told = [f"{{w.category.__name__}} {{w.filename}}: {{w.message}}" for w in caught]
print(os.environ["ORT_DISABLE_TELEMETRY"], *told)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there the call works after the import too")
@pytest.mark.parametrize(
    ("first", "value", "expected"),
    [
        ("import onnxruntime", None, "1 TelemetryWarning <string>: onnxruntime was imported before kalamos"),
        ("", None, "1\n"),
        ("", "", "1\n"),
        ("import onnxruntime", "1", "1\n"),
        ("import onnxruntime", "0", "0\n"),
    ],
)
def test_a_user_who_imported_onnxruntime_first_is_told_once(
    tmp_path: Path, first: str, value: str | None, expected: str
) -> None:
    environment = fresh(tmp_path, **({} if value is None else {"ORT_DISABLE_TELEMETRY": value}))
    program = IMPORTS.format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(expected)
    assert done.stdout.count("Warning") == expected.count("Warning")


@pytest.mark.parametrize(("version", "warned"), [("1.29.1", 0), ("1.30.0", 1), ("2.0", 1), ("main", 1)])
def test_an_onnxruntime_without_telemetry_needs_no_warning(
    monkeypatch: pytest.MonkeyPatch, version: str, warned: int
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    runtime = ModuleType("onnxruntime")
    runtime.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    with pytest.warns(privacy.TelemetryWarning) if warned else _no_warning():
        privacy.disable_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def _no_warning() -> pytest.WarningsRecorder:  # warnings are errors in these tests
    return pytest.WarningsRecorder(_ispytest=True)


DRAWS = """
import os, sys
from kalamos.privacy import import_matplotlib
before = dict(os.environ)
import_matplotlib()
assert dict(os.environ) == before
import matplotlib
print(matplotlib.get_configdir())
"""


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs the extra 'train'")
@pytest.mark.parametrize("folder", [".config/matplotlib", "elsewhere"])
def test_a_matplotlib_that_the_user_has_set_up_stays_theirs(tmp_path: Path, folder: str) -> None:
    more = {"MPLCONFIGDIR": str(tmp_path / "home/elsewhere")} if folder == "elsewhere" else {}
    environment = fresh(tmp_path, **more)
    (tmp_path / "home" / folder).mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", DRAWS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path / "home" / folder)
