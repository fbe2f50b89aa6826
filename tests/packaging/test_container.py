"""The container's files: linted, what they must not lack, and their steps taken without an engine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from tests.packaging.dockerfile import (
    ROOT,
    command,
    health_command,
    ignored_and_sent,
    sealed,
    stages,
    take_build_steps,
    values,
    variables,
)

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_the_image_is_slim_without_root_and_looks_after_itself() -> None:
    before, build, final = stages()
    assert [each.word for each in before] == ["ARG"]
    for stage in (build, final):
        assert re.match(r"python:\$\{PYTHON\}-slim( AS build)?$", values(stage, "FROM")[0])
    assert values(final, "USER") == ["10001:10001"], (
        "by number: Kubernetes' runAsNonRoot cannot look up names"
    )
    assert values(final, "RUN") == [], "what was needed to build stays in the other stage"
    assert values(final, "COPY") == ["--from=build /opt/kalamos /opt/kalamos"]
    assert variables(final)["PYTHONDONTWRITEBYTECODE"] == "1"
    assert "/health" in health_command(final)[-1]
    assert command(final, "ENTRYPOINT", "CMD")[:2] == ["kalamos", "app"]
    assert all("--require-hashes" in rest for rest in values(build, "RUN") if "--requirement" in rest)


def test_only_what_is_copied_is_sent_to_the_builder() -> None:
    ignored, sent = ignored_and_sent()
    copied = {source for rest in values(stages()[1], "COPY") for source in rest.split()[:-1]}
    assert ignored[0] == "*"
    assert set(sent) == copied


def test_the_example_closes_what_it_can() -> None:
    api, proxy = COMPOSE["services"]["kalamos"], COMPOSE["services"]["proxy"]
    for service in (api, proxy):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in api, "only the proxy is reached from outside"
    assert COMPOSE["networks"][api["networks"][0]] == {"internal": True}
    assert "tmpfs" not in api, "the API writes nothing"
    assert not [value for value in api["environment"] if value == "KALAMOS_TOKEN"], "secrets are files"


def test_the_bounds_of_the_example_fit_together() -> None:
    api = COMPOSE["services"]["kalamos"]
    options = dict(zip(api["command"][1::2], api["command"][2::2], strict=True))
    seconds, megabytes = (int(options[name]) for name in ("--timeout", "--max-upload-mb"))
    assert int(api["stop_grace_period"].removesuffix("s")) > seconds
    proxy = (ROOT / "Caddyfile").read_text(encoding="utf-8")
    assert f"max_size {megabytes}MiB" in proxy
    [waits] = re.findall(r"response_header_timeout (\d+)s", proxy)
    assert int(waits) > 2 * seconds


@contextmanager
def run_sealed(target: Path, folder: Path, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """What the image runs, with its variables and its user, where no folder can be written to."""
    final = stages()[2]
    environment = {
        name: value.replace("/opt/kalamos", str(target)).replace("$PATH", "/usr/bin:/bin")
        for name, value in variables(final).items()
    }
    user = int(values(final, "USER")[0].partition(":")[0])
    scratch = folder / "python"
    scratch.mkdir(exist_ok=True)
    arguments = sealed(arguments, user=user, python=Path(sys.base_prefix), scratch=scratch)
    with subprocess.Popen(
        arguments, env=environment, cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.skipif(
    not os.environ.get("KALAMOS_REQUIRE_REGISTRY"),
    reason="fetches packages; .ci/run sets KALAMOS_REQUIRE_REGISTRY",
)
def test_its_steps_make_a_server_that_needs_no_root_and_nothing_to_write_to(one_pdf: bytes) -> None:
    assert sys.platform == "linux", "KALAMOS_REQUIRE_REGISTRY is for Linux"
    assert os.geteuid() == 0, "KALAMOS_REQUIRE_REGISTRY needs root, to become another user"
    final = stages()[2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        target = take_build_steps(folder)
        program, *arguments = command(final, "ENTRYPOINT", "CMD")
        server = [str(target / "bin" / program), *arguments, "--port", "0"]
        with run_sealed(target, folder, ["touch", str(folder / "written"), "/tmp/written"]) as writer:  # noqa: S108
            assert writer.wait(30) != 0, "something can be written: what follows would prove nothing"
        with run_sealed(target, folder, server) as running:
            assert running.stdout is not None
            said = running.stdout.readline()
            port = said.partition("(manual")[0].strip().rpartition(":")[2]
            assert port.isdigit(), running.communicate()
            address = f"http://127.0.0.1:{port}"
            health = [part.replace("7860", port) for part in health_command(final)]
            with run_sealed(target, folder, health) as looking:
                assert looking.wait(60) == 0, looking.communicate()
            with httpx.Client(base_url=address, timeout=120) as client:
                image = (ROOT / "samples" / "0-pen.png").read_bytes()
                photo = (ROOT / "samples" / "4-pencil.jpg").read_bytes()
                assert {model["name"] for model in client.get("/v1/models").json()["models"]} > {
                    "digits",
                    "arabic",
                }
                for content, label in ((image, "0"), (photo, "4")):
                    kind = {"content-type": "image/png"}
                    answer = client.post("/v1/predict", content=content, headers=kind)
                    assert answer.json()["results"][0]["label"] == label, answer.text
                kind = {"content-type": "application/pdf"}
                [page] = client.post("/v1/read", content=one_pdf, headers=kind).json()["results"]
                assert page["error"] is None, "a PDF is decoded in a process of its own"
            running.send_signal(signal.SIGTERM)
            _, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
        assert "Traceback" not in err


@pytest.fixture
def one_pdf(tmp_path: Path) -> bytes:
    from PIL import Image

    with Image.open(ROOT / "samples-pages" / "letters.jpg") as page:
        page.convert("L").save(tmp_path / "page.pdf")
    return (tmp_path / "page.pdf").read_bytes()
