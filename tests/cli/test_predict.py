"""What `kalamos predict` answers: rows, summaries, exit statuses, messages."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import kalamos
from kalamos.alphabets import Alphabet
from kalamos.isolation.pool import worker_pool
from kalamos.model_file import METADATA_KEY, ModelSpec, OperatingPoint, SelectiveAccuracy, read_spec
from kalamos.writers import BINARY_FORMATS, FORMATS
from kalamos.zoo import model_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def jsonl(out: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def errors(out: bytes) -> dict[str, str | None]:
    """Last part of each path -> its error."""
    return {os.path.basename(str(row["path"])): row["error"] for row in jsonl(out)}  # type: ignore[misc]  # noqa: PTH119


# ------------------------------------------------------------------------------ what it reads


def test_the_samples_are_read_right_and_the_blank_one_is_no_ink(command, samples: Path) -> None:
    outcome = command("predict", samples, "-f", "jsonl")
    rows = jsonl(outcome.out)
    assert [row["label"] for row in rows] == [*"0123456789", None]
    assert all(row["confidence"] > 0.9 for row in rows[:10])
    assert str(rows[10]["error"]).startswith("no ink")
    assert outcome.code == 1
    assert "11 images: 10 read, 0 abstained, 1 failed\nfailures: 1 no ink\n" in outcome.err


def test_all_read_is_exit_status_0(command, samples: Path) -> None:
    outcome = command("predict", samples / "7-wide.jpg", samples / "0-pen.png")
    assert outcome.code == 0
    # The checkout may lie in a folder with spaces.
    assert [row.removeprefix(f"{samples.as_posix()}/").split()[1] for row in outcome.rows] == ["0", "7"]


# ------------------------------------------------------------------------------ formats and outputs


@pytest.mark.parametrize("name", sorted({*FORMATS} - BINARY_FORMATS))
def test_a_file_holds_the_bytes_that_standard_output_gets(
    command, samples: Path, tmp_path: Path, name: str
) -> None:
    shown = command("predict", samples, "-q", "-f", name)
    target = tmp_path / "rows"
    saved = command("predict", samples, "-q", "-f", name, "-o", target)
    assert shown.out.count(b"\n") >= 11
    assert saved == (1, b"", "")
    assert target.read_bytes() == shown.out


def test_parquet_goes_to_a_file_alone(command, samples: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    refused = command("predict", samples, "-f", "parquet")
    assert refused == (2, b"", "kalamos: cannot write parquet to standard output; use -o FILE\n")
    target = tmp_path / "rows.parquet"
    assert command("predict", samples, "-o", target).code == 1
    assert parquet.read_table(target).column("label").to_pylist() == [*"0123456789", None]


def test_a_workbook_goes_to_a_file_alone_and_holds_what_csv_does(
    command, samples: Path, tmp_path: Path
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    refused = command("predict", samples, "-f", "xlsx")
    assert refused == (2, b"", "kalamos: cannot write xlsx to standard output; use -o FILE\n")
    target = tmp_path / "rows.xlsx"
    assert command("predict", samples, "-o", target).code == 1
    names, *rows = openpyxl.load_workbook(target).active.values
    table = csv.reader(command("predict", samples, "-q", "-f", "csv").out.decode().splitlines())
    assert list(names) == next(table)
    assert [[_as_in_csv(value) for value in row] for row in rows] == list(table)


def _as_in_csv(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value if isinstance(value, str) else f"{value:.6f}"


def test_an_old_workbook_stays_where_nothing_is_read(command, tmp_path: Path) -> None:
    target = tmp_path / "rows.xlsx"
    target.write_bytes(b"mine")
    assert command("predict", tmp_path / "no.png", "-o", target).code == 2
    assert target.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["csv", "json", "jsonl", "parquet"])
def test_results_save_the_same_bytes(command, samples: Path, tmp_path: Path, name: str) -> None:
    command("predict", samples, "-o", tmp_path / f"command.{name}")
    results = kalamos.Results(kalamos.load().predict_folder(samples))
    getattr(results, f"to_{name}")(tmp_path / "python")
    assert (tmp_path / "python").read_bytes() == (tmp_path / f"command.{name}").read_bytes()


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.csv", b"path,label,"), ("a.json", b"[\n"), ("a.JSONL", b'{"path"'), ("a.txt", b""), ("a", b"")],
)
def test_the_output_name_chooses_the_format(
    command, samples: Path, tmp_path: Path, name: str, start: bytes
) -> None:
    image = samples / "0-pen.png"
    command("predict", image, "-o", tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start or os.fsencode(image))


def test_ascii_is_code_and_path_and_nothing_else(command, samples: Path) -> None:
    outcome = command("predict", samples, "-f", "ascii")
    names = sorted(path.name for path in samples.iterdir() if path.suffix in {".png", ".jpg"})
    codes = [*map(ord, "0123456789"), 0]
    expected = [f"{code}, {(samples / name).as_posix()}\n" for code, name in zip(codes, names, strict=True)]
    assert outcome.out.decode() == "".join(expected)


def test_quiet_leaves_standard_error_empty(command, samples: Path, tmp_path: Path) -> None:
    for image in samples.glob("*.png"):
        (tmp_path / image.name).write_bytes(image.read_bytes())
    (tmp_path / "make_samples.py").write_text("")
    loud, quiet = command("predict", tmp_path), command("predict", tmp_path, "-q")
    assert quiet.out == loud.out
    assert quiet.err == ""
    assert b"images:" not in loud.out
    assert loud.err.splitlines()[-2:] == [
        "skipped 1 file without an image extension:",
        "  1 program (make_samples.py)",
    ]
    assert "\x1b" not in loud.err + loud.out.decode()
    assert "\r" not in loud.err


# ------------------------------------------------------------------------------ order


def test_rows_come_in_name_order_whatever_their_case(command, folder: Path, one: bytes) -> None:
    for name in ("B.png", "a.png", "C.png", "sub/b.png", "sub/A.png", "Sub2/z.png", "sub.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(one)
    rows = command("predict", folder, "-f", "ascii").rows
    names = [row.removeprefix(f"49, {folder.as_posix()}/") for row in rows]
    assert names == ["a.png", "B.png", "C.png", "sub/A.png", "sub/b.png", "sub.png", "Sub2/z.png"]


def test_files_and_folders_as_arguments_are_put_in_order_together(command, folder: Path, one: bytes) -> None:
    for name in ("C.png", "b/y.png", "b/X.png", "a.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(one)
    rows = command("predict", folder / "C.png", folder / "b", folder / "a.png", "-f", "ascii").rows
    assert [row.removeprefix(f"49, {folder.as_posix()}/") for row in rows] == [
        "a.png",
        "b/X.png",
        "b/y.png",
        "C.png",
    ]


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_the_number_of_jobs_changes_no_byte(command, hundreds: Path, name: str) -> None:
    alone = command("predict", hundreds, "-q", "-f", name, "--jobs", "1")
    together = command("predict", hundreds, "-q", "-f", name, "--jobs", "3")
    assert alone.out.count(b"\n") >= 300
    assert together == alone


# ------------------------------------------------------------------------------ abstaining, candidates


def test_below_the_least_confidence_there_is_no_label(command, samples: Path) -> None:
    outcome = command("predict", samples / "0-pen.png", "--min-confidence", "1.0", "-f", "csv")
    [row] = csv.DictReader(io.StringIO(outcome.out.decode()))
    assert (row["label"], row["abstained"], row["error"], row["top1"]) == ("", "true", "", "0")
    assert float(row["confidence"]) > 0.9
    assert outcome.code == 0
    assert "0 read, 1 abstained, 0 failed" in outcome.err
    assert (
        command("predict", samples / "0-pen.png", "--min-confidence", "1", "-f", "ascii")
        .rows[0]
        .startswith("0, ")
    )


@pytest.mark.parametrize(("k", "count"), [("1", 1), ("3", 3), ("99", 10)])
def test_so_many_candidates_as_asked_for(command, samples: Path, k: str, count: int) -> None:
    [row] = jsonl(command("predict", samples / "0-pen.png", "-k", k, "-f", "jsonl").out)
    assert isinstance(row["top"], list)
    assert len(row["top"]) == count
    assert row["top"][0]["label"] == "0"


# ------------------------------------------------------------------------------ images that cannot be read


def test_each_kind_of_damage_is_a_row_and_all_others_are_read(command, folder: Path, samples: Path) -> None:
    png = (samples / "0-pen.png").read_bytes()
    (folder / "cut.png").write_bytes(png[: len(png) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("I am no image\n")
    (folder / "broken-link.png").symlink_to("nowhere.png")
    (folder / "link-to-itself.png").symlink_to("link-to-itself.png")
    os.mkfifo(folder / "pipe.png")  # opened like a file, it would wait for a writer for ever
    (folder / "folder.png").mkdir()
    (folder / "folder.png" / "inside.png").write_bytes(png)
    shutil.copy(samples / "7-wide.jpg", folder / "truly-a-jpeg.png")
    outcome = command("predict", folder, folder / "missing.png", "-f", "jsonl")
    found = errors(outcome.out)
    assert {name for name, error in found.items() if error is None} == {"inside.png", "truly-a-jpeg.png"}
    for name, reason in {
        "cut.png": "",
        "empty.png": "the file is empty",
        "text.png": "it looks like text",
        "broken-link.png": "no such file",
        "link-to-itself.png": "Too many levels",
        "pipe.png": "not a regular file",
        "missing.png": "no such file",
    }.items():
        assert f"{name}: " in str(found[name])
        assert reason in str(found[name])
    assert len(found) == 9
    assert outcome.code == 1


def test_one_damaged_image_among_good_ones_is_exit_status_1(command, folder: Path, one: bytes) -> None:
    (folder / "a.png").write_bytes(one)
    assert command("predict", folder).code == 0
    (folder / "b.png").write_bytes(one[:-40])
    outcome = command("predict", folder)
    assert outcome.code == 1
    assert "1 read, 0 abstained, 1 failed\nfailures: 1 damaged" in outcome.err


def test_a_loop_of_folders_is_walked_once(command, folder: Path, one: bytes) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.png").write_bytes(one)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "itself").symlink_to("itself")
    assert command("predict", folder, "-f", "ascii").rows == [f"49, {folder.as_posix()}/sub/a.png"]


def test_hidden_entries_are_passed_over_and_other_files_counted(command, folder: Path, one: bytes) -> None:
    for name in ("a.png", ".hidden.png", "._a.png", ".git/x.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(one)
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "png"):
        (folder / name).write_bytes(b"x")
    outcome = command("predict", folder, "-f", "ascii")
    assert outcome.rows == [f"49, {folder.as_posix()}/a.png"]
    assert outcome.code == 0
    assert "skipped 3 files without an image extension:\n" in outcome.err


def test_a_hidden_file_or_one_of_another_name_is_read_when_it_is_named(
    command, folder: Path, one: bytes
) -> None:
    for name in (".hidden.png", "scan.dat"):
        (folder / name).write_bytes(one)
        assert command("predict", folder / name).code == 0


# ------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two words .png", "two words .png"),
        ("صورة ٣.png", "صورة ٣.png"),
        ("line\nbreak.png", r"line\nbreak.png"),
        ("=1+1.png", "=1+1.png"),
        ("-o.png", "-o.png"),
        ("red\x1b[31m.png", r"red\x1b[31m.png"),
        ("[1].png", "[1].png"),
    ],
)
def test_names_of_all_kinds(
    command, folder: Path, one: bytes, monkeypatch: pytest.MonkeyPatch, name: str, shown: str
) -> None:
    (folder / name).write_bytes(one)
    monkeypatch.chdir(folder)
    assert command("predict", "-f", "ascii", "-q", "--", name) == (0, f"49, {shown}\n".encode(), "")
    [row] = jsonl(command("predict", "-f", "jsonl", "--", name).out)
    assert row["path"] == name
    [_, [cell, *_]] = csv.reader(io.StringIO(command("predict", "-f", "csv", "--", name).out.decode()))
    assert cell == (f"'{name}" if name[0] in "=-" else name)


def test_a_name_that_is_not_utf8(command, folder: Path, one: bytes) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (folder / name).write_bytes(one)
    except OSError:
        pytest.skip("this file system takes no such name")
    assert command("predict", folder, "-f", "ascii").rows == [rf"49, {folder.as_posix()}/caf\xe9.png"]
    (folder / name).write_bytes(b"")
    outcome = command("predict", folder / name)
    assert outcome.code == 1
    assert rb"caf\xe9.png" in outcome.out
    for kind in FORMATS:
        assert command("predict", folder, "-f", kind, "-o", folder / "rows").code == 1


# ------------------------------------------------------------------------------ wrong usage


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["SAMPLE", "-m", "digit"], "no model is called 'digit'; did you mean 'digits'?"),
        (["SAMPLE", "-m", "no/model.onnx"], "no/model.onnx: no such model file"),
        (["SAMPLE", "-m", "SAMPLE"], "a PNG image, not an ONNX model; write one with `kalamos export`"),
        (["SAMPLE", "-m", "x" * 300], "no model is called 'xxx"),
        (["SAMPLE", "-f", "jsn"], "no output format is called 'jsn'; did you mean 'json'?"),
        (["SAMPLE", "-f", "parquet"], "cannot write parquet to standard output; use -o FILE"),
        (["SAMPLE", "--min-confidence", "nan"], "min_confidence = nan is not a probability in [0, 1]"),
        (["SAMPLE", "--min-confidence", "1.5"], "1.5 is not in the range"),
        (["SAMPLE", "-k", "0"], "0 is not in the range"),
        (["SAMPLE", "--jobs", "0"], "0 is not in the range"),
        (["SAMPLE", "--jbs", "1"], "No such option '--jbs'. (Did you mean one of: '--bom', '--jobs'?)"),
        (["EMPTY"], "EMPTY: no image in this folder; looked for .avif, .bmp"),
        (["none*.png"], "none*.png: matches no file"),
        (["EMPTY/*"], "EMPTY/*: matches no file"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_status_2(
    command, samples: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "empty" / "only a folder").mkdir(parents=True)
    stand_ins = {"SAMPLE": str(samples / "0-pen.png"), "EMPTY": str(tmp_path / "empty")}

    def real(text: str) -> str:
        for name, path in stand_ins.items():
            text = text.replace(name, path)
        return text

    target = tmp_path / "rows"
    outcome = command("predict", *map(real, arguments), *([] if "parquet" in arguments else ["-o", target]))
    assert outcome.code == 2
    assert outcome.out == b""
    assert real(told) in outcome.err
    assert outcome.err.count("kalamos: ") + outcome.err.count("Error: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"], "something was left behind"


def test_a_wrong_path_is_told_before_the_header_is_written(command, tmp_path: Path) -> None:
    outcome = command("predict", tmp_path, "-f", "csv")
    assert (outcome.code, outcome.out) == (2, b"")


def test_an_output_in_a_missing_folder(command, samples: Path, tmp_path: Path) -> None:
    outcome = command("predict", samples, "-o", tmp_path / "none" / "rows.csv")
    assert outcome.code == 2
    assert outcome.err.startswith("kalamos: cannot write ")
    assert outcome.err.endswith("; create the folder first\n")
    assert not any(tmp_path.iterdir())


def test_an_output_with_an_image_s_name_is_refused(command, samples: Path, tmp_path: Path) -> None:
    # As in `kalamos predict -o *.png`.
    for name in ("a.png", "b.PNG"):
        shutil.copy(samples / "0-pen.png", tmp_path / name)
        outcome = command("predict", samples / "1-marker.png", "-o", tmp_path / name)
        assert outcome.code == 2
        assert "the name of an image" in outcome.err
        assert (tmp_path / name).read_bytes() == (samples / "0-pen.png").read_bytes()


def test_a_model_whose_labels_are_no_characters_has_no_ascii_format(
    command, tmp_path: Path, samples: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(model_path("digits")))
    [spec] = [entry for entry in model.metadata_props if entry.key == "kalamos.spec"]
    document = json.loads(spec.value)
    document["alphabet"]["labels"][3] = "three"
    spec.value = json.dumps(document)
    onnx.save(model, str(tmp_path / "words.onnx"))
    image = samples / "3-chalk.png"
    assert (
        jsonl(command("predict", image, "-m", tmp_path / "words.onnx", "-f", "jsonl").out)[0]["label"]
        == "three"
    )
    outcome = command("predict", image, "-m", tmp_path / "words.onnx", "-f", "ascii", "-o", tmp_path / "rows")
    assert outcome.code == 2
    assert "'three'" in outcome.err
    assert not (tmp_path / "rows").exists()


# ------------------------------------------------------------------------------ replacing an output


def test_an_output_is_replaced_whole(command, samples: Path, tmp_path: Path) -> None:
    target = tmp_path / "rows.txt"
    target.write_bytes(b"old\n" * 1000)
    command("predict", samples / "0-pen.png", "-o", target)
    assert target.read_text().count("\n") == 1
    assert list(tmp_path.iterdir()) == [target]


def test_an_empty_folder_among_others_is_a_row(command, folder: Path, one: bytes, tmp_path: Path) -> None:
    (folder / "a.png").write_bytes(one)
    (tmp_path / "nothing").mkdir()
    target = tmp_path / "rows.csv"
    outcome = command("predict", folder, tmp_path / "nothing", tmp_path / "*.gif", "-o", target)
    assert outcome.code == 1
    glob, read, nothing = csv.DictReader(target.read_text().splitlines())
    assert (glob["label"], read["label"], nothing["label"]) == ("", "1", "")
    assert "matches no file" in glob["error"]
    assert "no image in this folder" in nothing["error"]


def test_a_glob_crosses_folders_and_takes_no_folder_for_a_file(command, folder: Path, one: bytes) -> None:
    for name in ("a.png", "sub/b.png", "sub/deep/C.png", "sub/notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(one)
    rows = command("predict", f"{folder}/**/*.png", "-f", "ascii").rows
    assert [row.rpartition("/")[2] for row in rows] == ["a.png", "b.png", "C.png"]
    assert len(command("predict", f"{folder}/*", "-f", "ascii").rows) == 1


def test_the_summary_counts_a_whole_folder(command, hundreds: Path) -> None:
    outcome = command("predict", hundreds, "-f", "ascii")
    codes = np.array([int(row.partition(",")[0]) for row in outcome.rows])
    assert (codes == 0).sum() == 6
    assert outcome.err.startswith("300 images: 294 read, 0 abstained, 6 failed\n")
    truth = np.array([ord(str(index % 10)) for index in range(300)])
    assert (codes == truth).mean() > 0.8  # printed, not handwritten, digits


def test_sixteen_bit_colour_and_inverted_pages(command, folder: Path, samples: Path) -> None:
    page = cv2.imread(str(samples / "2-photo.jpg"))
    assert page is not None
    cv2.imwrite(str(folder / "16.png"), page.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "inverted.bmp"), 255 - page)
    cv2.imwrite(str(folder / "a.webp"), page)
    cv2.imwrite(str(folder / "grey.tif"), cv2.cvtColor(page, cv2.COLOR_BGR2GRAY))
    assert [row[:2] for row in command("predict", folder, "-f", "ascii").rows] == ["50"] * 4


# ------------------------------------------------------------------------------ charset and target accuracy


@pytest.fixture(scope="module")
def cased_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`digits` under another name and alphabet, in which C, O and S stand for both cases; validated."""
    onnx = pytest.importorskip("onnx", reason="needs the extra 'train'")
    model = onnx.load(model_path("digits"))
    spec = ModelSpec.from_json({entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY])
    points = (OperatingPoint(0.9, 0.0, 1.0), OperatingPoint(0.99, 0.97, 0.8))
    spec = replace(
        spec,
        alphabet=Alphabet("latin-47", tuple("COS345678d")),
        selective=SelectiveAccuracy(500, points),
    )
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    path = tmp_path_factory.mktemp("models") / "cased.onnx"
    onnx.save(model, path)
    return path


def test_a_charset_restricts_every_format(command, samples: Path, cased_model: Path) -> None:
    rows = jsonl(
        command("predict", samples, "-q", "-m", cased_model, "--charset", "lower", "-f", "jsonl").out
    )
    assert [row["label"] for row in rows][:3] == ["c", "o", "s"]
    assert all(len(row["top"]) == 4 for row in rows[:10])
    assert all({each["label"] for each in row["top"]} == set("cosd") for row in rows[:10])
    columns = ["path", "label", "confidence", "known", "removed", "reason", "abstained", "error", "top"]
    assert list(rows[0]) == columns
    assert rows[0]["removed"] < 0.1
    assert rows[5]["removed"] > 0.9
    assert rows[10]["removed"] is None
    shown = command("predict", samples, "-q", "-m", cased_model, "--charset", "lower")
    assert "outside the charset" in shown.rows[5]
    assert "outside the charset" not in shown.rows[0]
    codes = command("predict", samples, "-q", "-m", cased_model, "--charset", "lower", "-f", "ascii").rows
    assert [row.split(",")[0] for row in codes][:3] == ["67", "79", "83"]
    table = command(
        "predict", samples, "-q", "-m", cased_model, "--charset", "lower C", "-f", "csv", "-k", "9"
    )
    header, first, *_ = csv.reader(io.StringIO(table.out.decode()))
    assert header[:7] == columns[:7]
    assert header[-1] == "top4_confidence"
    assert first[1] == "C"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--charset", "upper"], "charset 'upper' leaves nothing of alphabet 'digits'; it has: 0 1 2"),
        (["--charset", ""], "charset '' leaves nothing"),
        (["--charset", "12أ"], "alphabet 'digits' lacks 'أ'"),
        (["--charset", "digit"], "did you mean 'digits'?"),
        (["--target-accuracy", "nan"], "is not an accuracy in (0, 1]"),
        (["--target-accuracy", "0.9", "--min-confidence", "0.9"], "both given"),
        (["--target-accuracy", "0.9", "--min-confidence", "0"], "both given"),
    ],
)
def test_what_cannot_be_asked_for_is_told_before_any_output_is_opened(
    command, samples: Path, tmp_path: Path, options: list[str], problem: str
) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("before")
    outcome = command("predict", samples, "-o", target, *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.err.count("\n") == 1
    assert problem in outcome.err
    assert target.read_text() == "before"


def test_a_target_accuracy_needs_a_model_that_was_validated(command, samples: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(model_path("digits"))
    spec = replace(read_spec(model_path("digits")), selective=None)
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, tmp_path / "older.onnx")
    outcome = command("predict", samples, "-m", tmp_path / "older.onnx", "--target-accuracy", "0.99")
    assert (outcome.code, outcome.out) == (2, b"")
    assert "export it again" in outcome.err


@pytest.mark.parametrize("value", ["0", "-1", "1.1", "most"])
def test_a_target_out_of_range_is_refused(command, samples: Path, value: str) -> None:
    outcome = command("predict", samples, "--target-accuracy", value)
    assert outcome.code == 2
    assert "--target-accuracy" in outcome.err


def test_a_target_accuracy_is_the_threshold_that_reached_it(
    command, samples: Path, cased_model: Path
) -> None:
    ask = ("predict", samples, "-m", cased_model, "--charset", "c 5 8", "-f", "csv")
    aimed, least = command(*ask, "--target-accuracy", "0.99"), command(*ask, "--min-confidence", "0.97")
    assert aimed.out == least.out
    assert b",true," in aimed.out
    assert b",true," not in command(*ask, "--target-accuracy", "0.9").out
    beyond = command(*ask, "--target-accuracy", "0.999")
    assert (beyond.code, beyond.out) == (2, b"")
    assert "on the 500 validation images; the highest that was reached is 0.99" in beyond.err


# ------------------------------------------------------------------------------ archives, tables, a pipe


@pytest.fixture
def containers(folder: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The samples as a folder, a zip, a tar and a CSV, in the current folder, and what they are called."""
    images = sorted(path for path in samples.iterdir() if path.suffix in {".png", ".jpg"})
    monkeypatch.chdir(folder)
    (folder / "d").mkdir()
    with (
        zipfile.ZipFile("x.zip", "w") as packed,
        tarfile.open("x.tgz", "w:gz") as streamed,
        Path("x.csv").open("w", newline="") as table,
    ):
        rows = csv.writer(table)
        rows.writerow(["id", "file"])
        for path in images:
            shutil.copy(path, folder / "d" / path.name)
            packed.write(path, path.name)
            streamed.add(path, path.name)
            rows.writerow([path.stem, f"d/{path.name}"])
    return ["d", "x.zip", "x.tgz", "x.csv"]


@pytest.mark.parametrize("name", sorted({*FORMATS} - BINARY_FORMATS))
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_archives_and_tables_give_the_rows_of_the_folder(
    command, containers: list[str], name: str, jobs: str
) -> None:
    expected = command("predict", "d", "-q", "-f", name, "--jobs", jobs)
    for container in containers[1:]:
        outcome = command("predict", container, "-q", "-f", name, "--jobs", jobs)
        got = outcome.out if container == "x.csv" else outcome.out.replace(f"{container}/".encode(), b"d/")
        if name == "text":  # whose columns are as wide as the paths
            assert [line.split() for line in got.splitlines()] == [
                line.split() for line in expected.out.splitlines()
            ]
        else:
            assert got == expected.out
        assert outcome.code == expected.code == 1


def test_the_pages_of_documents_are_images(command, folder: Path, samples: Path) -> None:
    pytest.importorskip("pypdfium2")
    crops = [kalamos.images.load_grey(samples / name) for name in ("0-pen.png", "2-photo.jpg")]
    cv2.imwritemulti(str(folder / "y.tif"), crops)
    one, two = map(Image.fromarray, crops)
    one.save(folder / "x.pdf", save_all=True, append_images=[two], resolution=200)
    outcome = command("predict", folder / "x.pdf", folder / "y.tif", "-f", "jsonl")
    assert outcome.code == 0
    assert [(row["path"].rpartition("/")[2], row["label"]) for row in jsonl(outcome.out)] == [
        *(("x.pdf#1", "0"), ("x.pdf#2", "2"), ("y.tif#1", "0"), ("y.tif#2", "2"))
    ]


def test_a_photo_of_a_phone_is_an_image(command, folder: Path, samples: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    crop = Image.open(samples / "2-photo.jpg").convert("RGB")
    (folder / "phone").mkdir()
    pillow_heif.from_pillow(crop).save(folder / "phone" / "IMG_1.HEIC", quality=90)
    crop.save(folder / "phone" / "b.avif", quality=90)
    rows = jsonl(command("predict", folder / "phone", "-f", "jsonl").out)
    assert [(row["path"].rpartition("/")[2], row["label"]) for row in rows] == [
        ("b.avif", "2"),
        ("IMG_1.HEIC", "2"),
    ]


@pytest.mark.parametrize(("library", "name"), [("pypdfium2", "x.pdf"), ("pillow_heif", "x.heic")])
def test_a_file_that_needs_the_extra_is_a_row_that_names_it(
    command, folder: Path, samples: Path, monkeypatch: pytest.MonkeyPatch, library: str, name: str
) -> None:
    module = pytest.importorskip(library)
    crop = Image.open(samples / "2-photo.jpg").convert("RGB")
    if library == "pillow_heif":
        module.from_pillow(crop).save(folder / name)
    else:
        crop.save(folder / name)
    monkeypatch.setitem(sys.modules, library, None)
    # The processes that decode have the search path of this one.
    (folder / f"{library}.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(folder)
    worker_pool.close()
    outcome = command("predict", folder / name, samples / "0-pen.png", "-f", "jsonl")
    worker_pool.close()
    assert outcome.code == 1
    failed, read = sorted(jsonl(outcome.out), key=lambda row: row["label"] or "")
    assert str(failed["error"]).endswith("install it with: pip install 'kalamos[forms]'")
    assert f"needs {library}" in str(failed["error"])
    assert read["label"] == "0"


def test_a_parquet_file_s_images_are_called_by_their_rows(command, folder: Path, samples: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [(samples / "7-wide.jpg").read_bytes(), None, (samples / "0-pen.png").read_bytes()]
    parquet.write_table(arrow.table({"id": [1, 2, 3], "scan": images}), folder / "x.parquet")
    rows = jsonl(command("predict", folder / "x.parquet", "-f", "jsonl").out)
    assert [row["path"] for row in rows] == [f"{folder.as_posix()}/x.parquet#{index}" for index in range(3)]
    assert [row["label"] for row in rows] == ["7", None, "0"]
    assert "nothing in the column 'scan'" in str(rows[1]["error"])


def test_what_an_archive_loses_is_a_row_and_exit_status_1(command, containers: list[str]) -> None:
    content = Path("x.tgz").read_bytes()
    Path("x.tgz").write_bytes(content[: len(content) * 2 // 3])
    outcome = command("predict", "x.tgz", "d/0-pen.png", "-f", "csv")
    first, *whole, lost = csv.DictReader(io.StringIO(outcome.out.decode()))
    assert first["path"] == "d/0-pen.png"
    assert whole
    assert [row["label"] for row in whole] == [*"0123456789"][: len(whole)]
    assert lost["path"] == "x.tgz"
    assert "damaged at or after" in lost["error"]
    assert outcome.code == 1
    assert "failures: 1 damaged" in outcome.err


def test_members_that_are_no_image_by_name_are_counted_and_archives_in_folders_too(
    command, folder: Path, one: bytes
) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for name in ("a.png", "b.txt", "c.zip"):
            archive.writestr(name, one)
    assert "skipped 2 files without an image extension" in command("predict", folder / "x.zip").err
    (folder / "a.png").write_bytes(one)
    outcome = command("predict", folder, "-f", "ascii")
    assert outcome.rows == [f"49, {folder.as_posix()}/a.png"]
    assert "skipped 1 file without an image extension" in outcome.err


def test_the_column_is_told_before_any_output_is_opened(command, folder: Path, one: bytes) -> None:
    (folder / "a.png").write_bytes(one)
    (folder / "x.csv").write_text("left,right\na.png,none.png\n")
    target = folder / "rows.csv"
    for options, told in (([], "--column: left, right"), (["--column", "lift"], "did you mean 'left'?")):
        outcome = command("predict", folder / "x.csv", "-o", target, *options)
        assert (outcome.code, outcome.out) == (2, b"")
        assert told in outcome.err
        assert not target.exists()
    assert command("predict", folder / "x.csv", "--column", "left").code == 0
