from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.datasets import Dataset, RaggedImages, Split, load_dataset, resolve_dataset
from kalamos.datasets.local import decode_members, folder_of, label_of
from kalamos.errors import AlphabetError, DatasetError, KalamosError
from kalamos.images import load_grey
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
from kalamos.preprocessing.steps import MAX_WORKING_PIXELS

Write = Callable[[Mapping[str, bytes]], Path]
Png = Callable[..., bytes]
Load = Callable[[str | bytes], Dataset]
LABELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize("jobs", [1, 4])
def test_any_number_of_jobs_keeps_the_order_and_the_problems(png: Callable[..., bytes], jobs: int) -> None:
    files = {f"{i}.png": png(i % 250, 3 + i % 4) if i % 9 else b"nothing" for i in range(300)}

    def read(name: str) -> bytes:
        if name == "7.png":
            raise DatasetError("7.png: lost", remedy="look for it")
        return files[name]

    images, kept, problems = decode_members(read, list(files), jobs=jobs)
    expected = [i for i in range(300) if i % 9 and i != 7]
    assert kept.tolist() == expected
    assert [int(image[0, 0]) for image in images] == [i % 250 for i in expected]
    assert [problem.where for problem in problems] == [f"{i}.png" for i in range(300) if i not in expected]
    assert problems[1].what == "lost; look for it"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_photograph_is_kept_as_small_as_the_steps_look_at_it_and_read_alike(suffix: str) -> None:
    photo = np.full((1800, 2400), 200, np.uint8)
    cv2.ellipse(photo, (1200, 900), (300, 500), 10, 0, 320, 40, 60)
    data = cv2.imencode(suffix, photo)[1].tobytes()
    [kept], _, _ = decode_members(lambda name: data, [f"a{suffix}"])
    assert abs(kept.size - MAX_WORKING_PIXELS) < 1200
    prepare = Preprocessor(DEFAULT_STEPS)
    seen = prepare.image(load_grey(data, min_decode_pixels=prepare.min_decode_pixels))
    assert np.array_equal(prepare.image(kept), seen)


def test_nothing_to_decode_is_nothing() -> None:
    images, kept, problems = decode_members(lambda name: b"", [])
    assert (len(images), kept.tolist(), problems) == (0, [], ())


@given(LABELS)
def test_every_label_comes_back(label: str) -> None:
    name = folder_of(label)
    assert label_of(name) == unicodedata.normalize("NFC", label)
    assert "/" not in name
    assert "\\" not in name
    assert "\0" not in name
    assert not name.startswith(".")


@given(LABELS)
def test_a_folder_is_a_label(name: str) -> None:
    label = label_of(name)
    assert label == name or folder_of(label) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", ["7", "ب", "A b", "100%", "%zz", "%41", "%E9"])
def test_folders_that_people_made_stay_what_they_are(name: str) -> None:
    assert label_of(name) == name


def values(split: Split) -> list[int]:
    """The pixel value by which each image of a split is known."""
    return [int(image[0, 0]) for image in split.images]


def words(dataset: Dataset, split: Split) -> list[str]:
    return [dataset.alphabet.labels[label] for label in split.labels.tolist()]


def test_sub_folders_are_classes_in_natural_order(as_either: Write, png: Png) -> None:
    dataset = load_dataset(
        as_either({"10/a.png": png(1), "2/b.png": png(2), "2/10.png": png(3), "1/c.png": png(4)})
    )
    assert dataset.name == dataset.alphabet.name == "letters"
    assert dataset.alphabet.labels == ("1", "2", "10")
    assert isinstance(dataset.train.images, np.ndarray)
    assert dataset.train.images.shape == (4, 6, 5)
    assert values(dataset.train) == [4, 3, 2, 1]
    assert dataset.train.labels.tolist() == [0, 1, 1, 2]
    assert dataset.train.names == ("1/c.png", "2/10.png", "2/b.png", "10/a.png")
    assert (dataset.test, dataset.train.groups, dataset.problems, dataset.val_rows) == (
        None,
        None,
        (),
        None,
    )


def test_images_of_different_sizes_stay_as_they_are(as_either: Write, png: Png) -> None:
    dataset = load_dataset(as_either({"a/1.png": png(7, 3, 9), "b/1.png": png(8, 20, 2)}))
    assert isinstance(dataset.train.images, RaggedImages)
    assert dataset.train.images.shapes.tolist() == [[3, 9], [20, 2]]
    assert values(dataset.train) == [7, 8]


def test_images_in_nested_folders_belong_to_the_class_at_the_top(as_either: Write, png: Png) -> None:
    files = {"2 ba/2.1/7.png": png(1), "1 alif/1.1/3.png": png(2), "1 alif/1.2/deep/3.png": png(3)}
    dataset = load_dataset(as_either(files))
    assert dataset.alphabet.labels == ("1 alif", "2 ba")
    assert words(dataset, dataset.train) == ["1 alif", "1 alif", "2 ba"]


def test_class_names_are_composed(as_either: Write, png: Png) -> None:
    composed, apart = "é", unicodedata.normalize("NFD", "é")
    dataset = load_dataset(
        as_either({f"{apart}/1.png": png(1), f"{composed}/2.png": png(2), "ß/1.png": png(3)})
    )
    assert dataset.alphabet.labels == ("ß", "é")
    assert sorted(zip(words(dataset, dataset.train), values(dataset.train), strict=True)) == [
        ("ß", 3), ("é", 1), ("é", 2),
    ]  # fmt: skip


def test_what_is_passed_over_is_reported_and_the_rest_is_loaded(as_either: Write, png: Png) -> None:
    dataset = load_dataset(
        as_either(
            {
                "a/1.png": png(1),
                "a/2.PNG": png(2),
                "a/broken.png": png()[:40],
                "a/empty.jpg": b"",
                "a/other.png": b"%PDF-1.4",
                "a/notes.txt": b"hello",
                "b/1.png": png(3),
                "c/": b"",
                "d/damaged.png": b"\x89PNG",
                "e/only.txt": b"",
                "loose.png": png(4),
                "README.md": b"# letters",
            }
        )
    )
    assert dataset.alphabet.labels == ("a", "b")
    assert values(dataset.train) == [1, 2, 3]
    problems = {problem.where: problem.what for problem in dataset.problems}
    assert problems.pop("c") == problems.pop("e") == "a class folder without any image"
    assert problems.pop("a/notes.txt") == problems.pop("README.md") == "not named like an image"
    assert problems.pop("e/only.txt") == "not named like an image"
    assert problems.pop("loose.png") == "an image outside the class folders"
    assert problems.pop("d") == "no image of this class can be read"
    assert "PDF" in problems.pop("a/other.png")
    assert set(problems) == {"a/broken.png", "a/empty.jpg", "d/damaged.png"}
    assert not any(what.startswith(where) for where, what in problems.items())


def test_official_splits_share_one_alphabet(as_either: Write, png: Png) -> None:
    dataset = load_dataset(
        as_either(
            {
                "train/a/1.png": png(1),
                "train/c/1.png": png(3),
                "Test/c/1.png": png(4),
                "Test/b/1.png": png(5),
                "valid/c/9.png": png(6),
                "valid/a/": b"",
                "extra/1.png": png(9),
            }
        )
    )
    assert dataset.alphabet.labels == ("a", "b", "c")
    assert dataset.test is not None
    assert (words(dataset, dataset.train), values(dataset.train)) == (["a", "c", "c"], [1, 3, 6])
    assert (words(dataset, dataset.test), values(dataset.test)) == (["b", "c"], [5, 4])
    assert dataset.val_rows is not None
    assert dataset.val_rows.tolist() == [2]
    assert sorted(problem.where for problem in dataset.problems) == ["extra/1.png", "valid/a"]


def test_a_lone_train_folder_holds_the_classes(as_either: Write, png: Png) -> None:
    dataset = load_dataset(as_either({"train/a/1.png": png(), "train/b/1.png": png()}))
    assert dataset.alphabet.labels == ("a", "b")
    assert dataset.test is None


@pytest.mark.parametrize("files", [("train/1.png", "test/1.png"), ("train/x/1.png", "car/1.png")])
def test_a_class_may_be_called_train(as_either: Write, png: Png, files: tuple[str, ...]) -> None:
    dataset = load_dataset(as_either(dict.fromkeys(files, png())))
    assert set(dataset.alphabet.labels) == {name.split("/")[0] for name in files}


def test_one_folder_around_everything_in_an_archive_is_seen_through(as_zip: Write, png: Png) -> None:
    files = {
        "all/mine/train/a/1.png": png(1),
        "all/mine/train/b/1.png": png(2),
        "all/mine/test/a/1.png": png(3),
    }
    dataset = load_dataset(as_zip({**files, "all/LICENSE": b"", "__MACOSX/all/._x": b""}))
    assert dataset.alphabet.labels == ("a", "b")
    assert dataset.test is not None
    assert values(dataset.test) == [3]
    assert [problem.where for problem in dataset.problems] == ["all/LICENSE"]


def test_a_folder_with_one_class_is_an_error_that_shows_the_way(as_folder: Write, png: Png) -> None:
    with pytest.raises(DatasetError, match="letters: one class with images, 'a'") as caught:
        load_dataset(as_folder({"a/1.png": png(), "b/1.png": b"GIF"}))
    assert "b/1.png" in caught.value.problem
    assert "one sub-folder for each of two or more classes" in caught.value.remedy


@pytest.mark.parametrize("files", [{}, {"1.png": b""}, {"a/": b"", "b/": b""}])
def test_no_class_is_an_error(as_either: Write, files: dict[str, bytes]) -> None:
    with pytest.raises(DatasetError, match="no class with images"):
        load_dataset(as_either(files))


def test_nothing_to_train_on_is_an_error(as_either: Write, png: Png) -> None:
    with pytest.raises(DatasetError, match="none of its images is for training"):
        load_dataset(as_either({"train/a/": b"", "test/a/1.png": png(), "test/b/1.png": png()}))


def test_a_class_whose_name_is_no_label_is_refused(as_either: Write, png: Png) -> None:
    with pytest.raises(AlphabetError, match="blank label"):
        load_dataset(as_either({" /1.png": png(), "b/1.png": png()}))


def test_a_real_archive() -> None:
    path = Path(os.environ.get("KALAMOS_DATA", "")) / "ocr-arabic-punctuation.zip"
    if not path.is_file():
        pytest.skip("KALAMOS_DATA is not set or has no ocr-arabic-punctuation.zip")
    dataset = load_dataset(path)
    assert (len(dataset.alphabet), len(dataset.train), dataset.problems) == (11, 1595, ())
    assert isinstance(dataset.train.images, RaggedImages)


@pytest.fixture(params=["disk", "zip", "wrapped"])
def load(request: pytest.FixtureRequest, as_folder: Write, as_zip: Write, png: Png) -> Load:
    """Loads a manifest beside the images x.png, y.png and deep/z.png."""

    def loaded(table: str | bytes) -> Dataset:
        content = table.encode() if isinstance(table, str) else table
        files = {"letters.csv": content, "x.png": png(1), "y.png": png(2), "deep/z.png": png(3, 9)}
        if request.param == "disk":
            return load_dataset(as_folder(files) / "letters.csv")
        top = "top/" if request.param == "wrapped" else ""
        return load_dataset(as_zip({top + name: content for name, content in files.items()}))

    return loaded


def test_a_line_is_an_image(load: Load) -> None:
    dataset = load("path,label\nx.png,b\ndeep/z.png,10\n./y.png,2\n")
    assert dataset.name == dataset.alphabet.name == "letters"
    assert dataset.alphabet.labels == ("2", "10", "b")
    assert dataset.train.labels.tolist() == [2, 1, 0]
    assert [int(image[0, 0]) for image in dataset.train.images] == [1, 3, 2]
    assert (dataset.test, dataset.train.groups, dataset.grouped_by, dataset.problems) == (
        None,
        None,
        None,
        (),
    )


def test_groups_and_splits(load: Load) -> None:
    dataset = load(
        "split,label,group,path,more\nTEST,a,w10,x.png,1\nVal, b ,w2,y.png,2\n"
        "train,a,w2,y.png,3\ntrain,b,,deep/z.png,4\n"
    )
    assert dataset.test is not None
    assert dataset.train.groups is not None
    assert dataset.test.groups is not None
    assert dataset.train.labels.tolist() == [0, 1, 1]
    assert dataset.train.groups.tolist() == [1, 0, 1]
    assert dataset.test.groups.tolist() == [2]
    assert dataset.grouped_by == "group"
    assert dataset.val_rows is not None
    assert dataset.val_rows.tolist() == [2]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_line_ends_and_marks(load: Load, delimiter: str, end: str, encoding: str) -> None:
    quoted = "," if delimiter == "\t" else delimiter
    lines = [["Path", " LABEL", '"note"'], ["x.png", "ب", "a"], [], ["y.png", f'"{quoted}"', "b"]]
    table = end.join(delimiter.join(line) for line in lines)
    assert set(load(table.encode(encoding)).alphabet.labels) == {"ب", quoted}


def test_what_is_passed_over_is_reported(load: Load) -> None:
    dataset = load("path,label\nx.png,a\ny.png,b\nabsent.png,a\ny.png,\n,b\nx.png\nletters.csv,a\n")
    assert len(dataset.train) == 2
    problems = [(problem.where.removeprefix("top/"), problem.what) for problem in dataset.problems]
    found = {where.rpartition("/")[2]: what for where, what in problems}
    assert found["letters.csv:5"] == "no label"
    assert found["letters.csv:6"] == "no path"
    assert found["letters.csv:7"] == "no label"
    assert "absent.png" in found
    assert "letters.csv" in found  # a table is not an image


def test_spaces_after_separators_do_not_matter(load: Load) -> None:
    dataset = load('path, label\nx.png, "a,b"\ny.png, c \n')
    assert dataset.alphabet.labels == ("a,b", "c")


def test_members_that_no_line_names_are_reported(as_zip: Write, png: Png) -> None:
    table = b"path,label\n1.png,a\n2.png,b"
    dataset = load_dataset(as_zip({"m.csv": table, "1.png": png(), "2.png": png(), "3.png": png()}))
    assert [str(problem) for problem in dataset.problems] == ["3.png: not in the manifest"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "path,label,split\nx.png,a,train\ny.png,b,tset\n",
            r"letters\.csv:3: unknown split 'tset'.*'test'",
        ),
        ("path,label,split\nx.png,a,train\ny.png,b\n", r"letters\.csv:3: unknown split ''"),
        ('path,label\nx.png,"a\n', r"letters\.csv:\d: unexpected end of data"),
        ("path,label\nx.png,a\n", "one class with images, 'a'"),
        ("path,label\n", "no class with images"),
        ("path,label,split\nx.png,a,test\ny.png,b,test\n", "none of its images is for training"),
        (b"path,label\nx.png,\xe9\n", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_said(load: Load, table: str | bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load(table)


@pytest.mark.parametrize("header", ["", "file,label", "path;class", "x.png,a"])
def test_columns_must_be_named(as_folder: Write, header: str) -> None:
    with pytest.raises(DatasetError, match=r"its first line has no column .*; begin it with: path,label"):
        load_dataset(as_folder({"m.csv": header.encode()}) / "m.csv")


@pytest.mark.parametrize("path", ["../x.png", "/x.png", "a/../../x.png", "C:\\x.png", "a\\..\\..\\b.png"])
def test_paths_that_leave_an_archive_are_refused(as_zip: Write, png: Png, path: str) -> None:
    table = f"path,label\nx.png,a\n{path},b\n".encode()
    with pytest.raises(DatasetError, match=r"m\.csv:3: the path .* points outside the archive") as caught:
        load_dataset(as_zip({"m.csv": table, "x.png": png()}))
    assert repr(path) in caught.value.problem


def test_a_manifest_on_disk_may_name_any_file(as_folder: Write, tmp_path: Path, png: Png) -> None:
    (tmp_path / "far.png").write_bytes(png(9))
    table = f"path,label\nx.png,a\n../far.png,b\n{tmp_path / 'far.png'},b\n".encode()
    dataset = load_dataset(as_folder({"m.csv": table, "x.png": png(1)}) / "m.csv")
    assert [int(image[0, 0]) for image in dataset.train.images] == [1, 9, 9]


def test_devices_and_folders_are_problems(as_folder: Write, png: Png) -> None:
    table = b"path,label\nx.png,a\ny.png,b\n/dev/zero,a\n.,b\n"
    dataset = load_dataset(as_folder({"m.csv": table, "x.png": png(), "y.png": png()}) / "m.csv")
    assert [problem.where for problem in dataset.problems] == ["/dev/zero", "."]


@pytest.mark.parametrize("tables", [("a.csv", "b.csv"), ("a/a.csv",)])
def test_only_one_table_at_the_top_is_a_manifest(as_zip: Write, png: Png, tables: tuple[str, ...]) -> None:
    files = {**dict.fromkeys(tables, b"path,label\na/1.png,x\n"), "a/1.png": png(), "b/1.png": png()}
    dataset = load_dataset(as_zip(files))
    assert dataset.alphabet.labels == ("a", "b")
    assert {problem.where for problem in dataset.problems} == set(tables)


@given(
    st.lists(st.sampled_from(["path", "label", "split", ",", "\n", '"', "x", "train", "\0", "\r", ";", "é"]))
)
def test_any_text_is_a_dataset_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes("".join(["path,label\n", *pieces]).encode())
    with suppress(KalamosError):
        load_dataset(path)


def test_backslashes_of_windows_separate_folders(load: Load) -> None:
    dataset = load("path,label\r\nx.png,a\r\ndeep\\z.png,b\r\n.\\y.png,a\r\nno\\z.png,a\r\n")
    assert [int(image[0, 0]) for image in dataset.train.images] == [1, 3, 2]
    assert len(dataset.problems) == 1


def test_a_name_that_really_has_a_backslash_wins(tmp_path: Path, png: Png) -> None:
    (tmp_path / "a").mkdir()
    for place, name in enumerate(("a\\1.png", "a/1.png", "b.png")):
        try:
            (tmp_path / name).write_bytes(png(place))
        except OSError:
            pytest.skip("this file system takes no such name")
    (tmp_path / "list.csv").write_text("path,label\na\\1.png,a\nb.png,b\n")
    assert [int(image[0, 0]) for image in load_dataset(tmp_path / "list.csv").train.images] == [0, 2]


def test_a_name_is_a_name_even_where_a_folder_is_called_so(
    tmp_path: Path, digits_folder: Path, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mnist/a", "mnist/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").write_bytes(png())
    monkeypatch.chdir(tmp_path)
    assert load_dataset("mnist", digits_folder).alphabet.name == "digits"
    for path in ("./mnist", "mnist/", Path("mnist"), str(tmp_path / "mnist")):
        assert load_dataset(path, digits_folder).alphabet.labels == ("a", "b")


def test_a_bare_word_may_be_a_folder(as_folder: Write, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = as_folder({"a/1.png": png(), "b/1.png": png()})
    monkeypatch.chdir(folder.parent)
    assert load_dataset("letters").alphabet.name == "letters"
    monkeypatch.chdir(folder)
    assert load_dataset(".").alphabet.name == "letters"


def test_home_is_known(as_folder: Write, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = as_folder({"a/1.png": png(), "b/1.png": png()})
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_dataset("~/letters").alphabet.name == "letters"


def test_nothing_is_read_to_tell_name_from_path(tmp_path: Path) -> None:
    assert resolve_dataset("mnist") == "mnist"
    assert resolve_dataset(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mnsit", "unknown dataset 'mnsit'; did you mean 'mnist'"),
        ("qqq", "unknown dataset 'qqq'; name a folder, a .csv or .zip file, or one of: .*mnist"),
        ("./mnist-", "no such file or folder"),
        ("~nobody-of-this-name/x", "no such file or folder"),
        ("no/where.csv", "no such file or folder"),
        ("", "unknown dataset ''"),
        ("a\0b", "no such file or folder"),
        ("x" * 5000, "unknown dataset 'xxx"),
    ],
)
def test_what_is_nowhere_says_so(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=message):
        load_dataset(given)


@pytest.mark.parametrize("name", ["data.tar.gz", "data.npz", "picture.png", "data"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(DatasetError, match="not a zip archive"):
        load_dataset(tmp_path / name)


def test_an_archive_is_known_by_its_content(as_zip: Write, png: Png) -> None:
    path = as_zip({"a/1.png": png(), "b/1.png": png()})
    assert load_dataset(path.rename(path.with_suffix(".ZIP"))).alphabet.labels == ("a", "b")


def test_a_folder_s_misspelt_name_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letters" / "a").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"unknown dataset 'leters'; did you mean 'letters'\?"):
        load_dataset("leters")
    with pytest.raises(DatasetError, match=r"no such file or folder; did you mean 'letters'\?"):
        load_dataset("leters/a")
