from __future__ import annotations

import gc
import io
import pickle
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import kalamos
from kalamos.errors import (
    CorruptImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    InvalidArrayError,
    ModelFileError,
    ModelNotFoundError,
    NoInkError,
    UnsupportedImageError,
    UsageError,
)
from kalamos.images import decode_grey
from kalamos.inputs import NamedImage
from kalamos.model_file import OperatingPoint, SelectiveAccuracy, open_model
from kalamos.parallel import BYTES_AHEAD_PER_WORKER
from kalamos.postprocessing import softmax
from kalamos.predict_options import PredictOptions
from kalamos.preprocessing import Preprocessor
from kalamos.zoo import model_path

SAMPLES = Path(__file__).parents[1] / "samples"
READABLE = sorted(path for path in SAMPLES.iterdir() if path.name[0].isdigit())
SEVEN = SAMPLES / "7-wide.jpg"


@pytest.fixture(scope="module")
def reader() -> kalamos.Recognizer:
    return kalamos.load("digits")


@pytest.fixture(scope="module")
def page() -> np.ndarray:
    """The sample "2" as a grey uint8 array, black on white."""
    image = cv2.imread(str(SAMPLES / "2-photo.jpg"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A folder of so many hundred small images, a hundred in each sub-folder."""
    page = np.full((28, 28), 255, np.uint8)
    page[4:24, 13:16] = 0
    one = cv2.imencode(".png", page)[1].tobytes()

    def make(hundreds: int) -> Path:
        folder = tmp_path_factory.mktemp("many")
        for index in range(hundreds * 100):
            path = folder / f"{index // 100:02}" / f"{index % 100:02}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(one)
        return folder

    return make


def worker_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kalamos_")]


# ------------------------------------------------------------------------------ load


def test_load_takes_a_name_a_path_and_a_string() -> None:
    path = model_path("digits")
    assert repr(kalamos.load()) == repr(kalamos.load(path)) == repr(kalamos.load(str(path)))
    assert kalamos.load(path).spec == kalamos.load().spec


@pytest.mark.parametrize("name", ["digit", "none/digits.onnx", "x" * 300, ""])
def test_a_model_that_is_not_there(name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        kalamos.load(name)


# ------------------------------------------------------------------------------ predict


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_every_sample_is_read_right(reader: kalamos.Recognizer, path: Path) -> None:
    result = reader.predict(path)
    assert result.label == path.name[0]
    assert result.path == path.as_posix()
    assert result.error is None
    assert not result.abstained


def test_every_kind_of_source_gives_the_same_answer(reader: kalamos.Recognizer, page: np.ndarray) -> None:
    colour = np.stack([page] * 3, axis=2)
    png = cv2.imencode(".png", page)[1].tobytes()
    kinds: dict[str, Any] = {
        "bytes": png,
        "bytearray": bytearray(png),
        "memoryview": memoryview(png),
        "PIL": Image.fromarray(page),
        "PIL RGB": Image.fromarray(colour),
        "uint8": page,
        "[H, W, 1]": page[..., None],
        "RGB": colour,
        "RGBA": np.dstack([colour, np.full_like(page, 255)]),
        "grey and alpha": np.dstack([page, np.full_like(page, 255)]),
        "int64": page.astype(np.int64),
        "uint16": page.astype(np.uint16) * 257,
        "float 0..1": page / 255,
        "float 0..255": page.astype(np.float32),
        "Fortran order": np.asfortranarray(page),
        "view": np.flip(np.flip(page, 1).copy(), 1),
    }
    expected = reader.predict(page)
    assert expected.label == "2"
    for kind, source in kinds.items():
        result = reader.predict(source)
        assert result.label == "2", kind
        assert result.path is None, kind
        assert result.confidence == pytest.approx(expected.confidence, abs=1e-3), kind


def test_paths_as_strings_and_objects_are_told_apart_from_nothing(reader: kalamos.Recognizer) -> None:
    assert reader.predict(str(SEVEN)) == reader.predict(SEVEN)
    assert reader.predict(str(SEVEN)).path == str(SEVEN)


def test_either_polarity_and_a_mask(reader: kalamos.Recognizer, page: np.ndarray) -> None:
    assert reader.predict(255 - page).label == "2"
    assert reader.predict(page < 110).label == "2"


def test_the_source_is_left_as_it_was(reader: kalamos.Recognizer, page: np.ndarray) -> None:
    before = page.copy()
    reader.predict(page)
    reader.predict_batch([page])
    assert np.array_equal(page, before)


def test_what_cannot_be_read_raises_its_own_error(reader: kalamos.Recognizer, tmp_path: Path) -> None:
    cut = SEVEN.read_bytes()[:2000]
    cases: list[tuple[Any, type[kalamos.ImageError]]] = [
        ("no-such-file.png", ImageNotFoundError),
        (tmp_path, ImageNotFoundError),
        (b"", CorruptImageError),
        (cut, CorruptImageError),
        (b"%PDF-1.7 ...", UnsupportedImageError),
        (np.full((28, 28), np.nan), InvalidArrayError),
        (np.zeros((3, 28, 28)), InvalidArrayError),
        (None, InvalidArrayError),
        (7, InvalidArrayError),
    ]
    for source, error in cases:
        with pytest.raises(error):
            reader.predict(source)


def test_a_blank_page_is_an_answer_not_an_exception(reader: kalamos.Recognizer) -> None:
    result = reader.predict(SAMPLES / "blank.png")
    assert isinstance(result.error, NoInkError)
    assert (result.label, result.confidence, result.top, result.abstained) == (None, None, (), False)
    assert result.path == (SAMPLES / "blank.png").as_posix()


def test_candidates_are_probabilities_in_order(reader: kalamos.Recognizer) -> None:
    top = reader.predict(SEVEN, top_k=10).top
    shares = [candidate.confidence for candidate in top]
    assert sorted(candidate.label for candidate in top) == list("0123456789")
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert reader.predict(SEVEN).top == top[:5]
    assert reader.predict(SEVEN, top_k=1).top == top[:1]
    assert reader.predict(SEVEN, top_k=99).top == top
    assert reader.predict(SEVEN).confidence == shares[0]


def test_the_confidence_is_calibrated_by_the_file_s_temperature(reader: kalamos.Recognizer) -> None:
    logits = reader.logits([reader.prepare(SEVEN)])
    result = reader.predict(SEVEN)
    assert logits.shape == (1, 10)
    assert logits.dtype == np.float32
    assert result.confidence == pytest.approx(softmax(logits, reader.spec.temperature).max(), abs=1e-6)
    assert result.confidence != pytest.approx(softmax(logits, 1.0).max(), abs=1e-6)


def test_abstaining(reader: kalamos.Recognizer) -> None:
    sure = reader.predict(SEVEN)
    assert sure.confidence is not None
    abstained = reader.predict(SEVEN, min_confidence=1.0)
    assert (abstained.label, abstained.abstained, abstained.error) == (None, True, None)
    assert (abstained.confidence, abstained.top) == (sure.confidence, sure.top)
    assert reader.predict(SEVEN, min_confidence=sure.confidence) == sure, "the bound itself is enough"
    assert reader.predict(SEVEN, min_confidence=0.0) == sure


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0},
        {"top_k": -1},
        {"min_confidence": -0.1},
        {"min_confidence": 1.1},
        {"min_confidence": float("nan")},
    ],
)
def test_options_out_of_range_are_refused_by_every_door(
    reader: kalamos.Recognizer, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        reader.predict(SEVEN, **options)
    with pytest.raises(UsageError):
        reader.predict_batch([SEVEN], **options)
    with pytest.raises(UsageError):
        reader.predict_folder(SAMPLES, **options)
    with pytest.raises(UsageError):
        reader.predict_files([str(SEVEN)], **options)


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_worker_is_refused(reader: kalamos.Recognizer, jobs: int) -> None:
    with pytest.raises(UsageError, match="leaves no worker"):
        reader.predict_folder(SAMPLES, jobs=jobs)


# ------------------------------------------------------------------------------ predict_batch


def test_errors_stay_in_their_places(reader: kalamos.Recognizer, page: np.ndarray) -> None:
    sources = [SEVEN, b"", page, np.full((9, 9), np.nan), "none.png", SAMPLES / "blank.png", SEVEN]
    results = reader.predict_batch(sources)
    assert [result.label for result in results] == ["7", None, "2", None, None, None, "7"]
    kinds = [type(result.error).__name__ for result in results if result.error]
    assert kinds == ["CorruptImageError", "InvalidArrayError", "ImageNotFoundError", "NoInkError"]
    assert [result.path for result in results] == [
        *[SEVEN.as_posix(), None, None, None, "none.png"],
        *[(SAMPLES / "blank.png").as_posix(), SEVEN.as_posix()],
    ]
    assert isinstance(results, kalamos.Results)


def test_a_batch_answers_as_each_image_alone(reader: kalamos.Recognizer) -> None:
    # More than one chunk, so that several threads work on it.
    sources = [READABLE[index % 10] for index in range(150)]
    results = reader.predict_batch(sources)
    assert [result.label for result in results] == [path.name[0] for path in sources]
    alone = [reader.predict(path) for path in READABLE]
    for index, result in enumerate(results):
        assert result.confidence == pytest.approx(alone[index % 10].confidence, abs=1e-5)


def test_an_array_is_a_batch_of_its_images(reader: kalamos.Recognizer, page: np.ndarray) -> None:
    images = np.stack([page, np.flipud(page), np.full_like(page, 255)])
    results = reader.predict_batch(images)
    assert len(results) == 3
    assert results[0].label == "2"
    assert isinstance(results[2].error, NoInkError)
    colour = reader.predict_batch(np.stack([images] * 3, axis=-1))
    assert [result.label for result in colour] == [result.label for result in results]


def test_nothing_in_nothing_out(reader: kalamos.Recognizer) -> None:
    assert reader.predict_batch([]) == []
    assert reader.predict_batch(np.zeros((0, 28, 28))) == []


@pytest.mark.parametrize("source", ["a.png", Path("a.png"), b"x", bytearray(b"x"), memoryview(b"x")])
def test_a_single_image_is_no_batch(reader: kalamos.Recognizer, source: Any) -> None:
    with pytest.raises(UsageError, match="takes a list of images; use predict for a single one"):
        reader.predict_batch(source)


def test_an_error_of_the_source_itself_is_not_swallowed(reader: kalamos.Recognizer) -> None:
    def sources() -> Iterator[Path]:
        yield from [SEVEN] * 100
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reader.predict_batch(sources())
    assert worker_threads() == []


def test_a_kept_error_keeps_nothing_else_alive(reader: kalamos.Recognizer) -> None:
    class Page(np.ndarray):
        """Plain arrays take no weak references."""

    image = np.full((40, 40), np.nan).view(Page)
    gone = weakref.ref(image)
    results = reader.predict_batch([image, b"damaged", "none.png"])
    for result in results:
        assert result.error is not None
        assert result.error.__traceback__ is None
        assert result.error.__cause__ is None
        assert result.error.__context__ is None
    del image
    gc.collect()
    assert gone() is None


def test_predictions_can_be_sent_to_other_processes(reader: kalamos.Recognizer) -> None:
    results = reader.predict_batch([SEVEN, SAMPLES / "blank.png", "none.png"], min_confidence=0.5)
    again = pickle.loads(pickle.dumps(results))  # noqa: S301
    assert again[0] == results[0]
    for new, old in zip(again[1:], results[1:], strict=True):
        assert type(new.error) is type(old.error)
        assert str(new.error) == str(old.error)
        assert new.path == old.path


# ------------------------------------------------------------------------------ predict_folder


def test_a_folder_in_order_with_errors_in_their_places(reader: kalamos.Recognizer, tmp_path: Path) -> None:
    for name in ("b.jpg", "A.jpg", "sub/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(SEVEN.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"")
    results = list(reader.predict_folder(tmp_path))
    names = [str(result.path).removeprefix(f"{tmp_path.as_posix()}/") for result in results]
    assert names == ["A.jpg", "b.jpg", "broken.png", "sub/c.jpg"]
    assert [result.label for result in results] == ["7", "7", None, "7"]
    assert isinstance(results[2].error, CorruptImageError)


def test_a_missing_folder_is_told_at_the_call(reader: kalamos.Recognizer, tmp_path: Path) -> None:
    for wrong in (tmp_path / "none", SEVEN):
        with pytest.raises(UsageError, match="no such folder"):
            reader.predict_folder(wrong)


def test_a_folder_without_images(reader: kalamos.Recognizer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image in this folder"):
        next(reader.predict_folder(tmp_path))


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_first_result_of_many_reads_few(reader: kalamos.Recognizer, jobs: int) -> None:
    taken = 0

    def paths() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "none.png"

    results = reader.predict_files(paths(), jobs=jobs)
    assert taken == 0
    next(results)
    assert 0 < taken <= 64 * 3 * jobs
    results.close()  # type: ignore[attr-defined]
    assert taken <= 64 * 3 * jobs
    assert worker_threads() == []


def test_members_are_read_like_files(reader: kalamos.Recognizer) -> None:
    seven = SEVEN.read_bytes()
    items = [
        NamedImage("x.zip/7.png", seven),
        str(SEVEN),
        NamedImage("x.zip", CorruptImageError("x.zip: cut off")),
    ]
    items += [
        NamedImage("x.zip/empty.png", b""),
        NamedImage("x.zip/../blank.png", (SAMPLES / "blank.png").read_bytes()),
    ]
    for jobs in (1, 2):
        read, file, failed, empty, blank = reader.predict_files(items, jobs=jobs)
        assert replace(read, path=str(SEVEN)) == file
        assert (read.path, read.label) == ("x.zip/7.png", "7")
        assert str(failed.error) == "x.zip: cut off"
        assert str(empty.error).startswith("x.zip/empty.png: the file is empty")
        assert isinstance(blank.error, NoInkError)
    stages = [name for name, _ in reader.trace(items[0])]
    assert stages == [name for name, _ in reader.trace(SEVEN)]


def test_large_members_are_not_read_far_ahead(reader: kalamos.Recognizer) -> None:
    padded = SEVEN.read_bytes() + bytes(8 << 20)
    taken = 0

    def members() -> Iterator[NamedImage]:
        nonlocal taken
        while True:
            taken += 1
            yield NamedImage("x.tar/7.jpg", padded)

    results = reader.predict_files(members(), jobs=2)
    for given_out in range(1, 12):
        assert next(results).label == "7"
        assert (taken - given_out) * len(padded) <= 2 * BYTES_AHEAD_PER_WORKER + len(padded)
    results.close()  # type: ignore[attr-defined]


def test_leaving_early_stops_the_workers_within_their_chunk(reader: kalamos.Recognizer) -> None:
    photograph = np.full((3000, 3000), 255, np.uint8)
    photograph[500:2500, 1400:1600] = 0
    prepared = 0

    class Photograph:
        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            nonlocal prepared
            prepared += 1
            return photograph

    # The first chunk is over at once, those after it would take a while.
    results = reader._stream([*["none.png"] * 64, *[Photograph()] * 640], PredictOptions(), jobs=2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert prepared < 64
    assert worker_threads() == []


def test_memory_does_not_grow_with_the_folder(
    reader: kalamos.Recognizer, folders: Callable[[int], Path]
) -> None:
    def peak(read: Callable[[Iterator[kalamos.Prediction]], int], folder: Path) -> int:
        tracemalloc.start()
        try:
            assert read(reader.predict_folder(folder, jobs=2)) == 100 * len(list(folder.iterdir()))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def stream(results: Iterator[kalamos.Prediction]) -> int:
        return sum(1 for _ in results)

    def keep(results: Iterator[kalamos.Prediction]) -> int:
        return len(list(results))

    many = folders(30)
    peak(stream, folders(3))  # what is loaded and cached once
    # How much is under way depends on timing, but it is far from all of it.
    assert peak(stream, many) < 0.5 * peak(keep, many)


def test_results_keep_a_lazy_folder(reader: kalamos.Recognizer) -> None:
    results = kalamos.Results(islice(reader.predict_folder(SAMPLES), 3))
    assert [result.label for result in results] == ["0", "1", "2"]


# ------------------------------------------------------------------------------ threads, insides


def test_eight_threads_share_one_reader(reader: kalamos.Recognizer) -> None:
    expected = [reader.predict(path) for path in READABLE]

    def work(shift: int) -> list[tuple[int, kalamos.Prediction]]:
        order = [(shift + step) % 10 for step in range(30)]
        return [(index, reader.predict(READABLE[index])) for index in order]

    with ThreadPoolExecutor(8) as pool:
        for answers in pool.map(work, range(8)):
            for index, answer in answers:
                assert answer == expected[index]


def test_feature_maps(reader: kalamos.Recognizer) -> None:
    maps = reader.feature_maps(SEVEN)
    assert tuple(maps) == reader.spec.feature_maps
    for stage, values in maps.items():
        assert values.dtype == np.float32
        assert values.ndim == 3
        assert np.isfinite(values).all(), stage
        assert values.std() > 0, stage
    other = reader.feature_maps(SAMPLES / "0-pen.png")
    assert all(not np.array_equal(maps[stage], other[stage]) for stage in maps)
    with pytest.raises(NoInkError):
        reader.feature_maps(SAMPLES / "blank.png")


def test_prepare_is_the_file_s_own_preprocessing(reader: kalamos.Recognizer, page: np.ndarray) -> None:
    prepared = reader.prepare(page)
    assert prepared.shape == (28, 28)
    assert prepared.dtype == np.uint8
    assert np.array_equal(prepared, Preprocessor(reader.spec.preprocessing).image(page))
    assert prepared[0].max() < 30, "ink is bright, paper dark"
    with pytest.raises(NoInkError):
        reader.prepare(SAMPLES / "blank.png")


def test_the_repr_names_the_model(reader: kalamos.Recognizer) -> None:
    assert repr(reader) == "Recognizer('digits', 10 classes)"


FIT = [{"step": "crop"}, {"step": "resize", "size": 20}, {"step": "centre", "size": 28}]


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([*FIT[:2], {"step": "centre", "size": 32}], "makes images of 32 px, its graph takes 28"),
        (FIT[:2], "does not make every image a square of one size"),
        ([*FIT[:1], {"step": "resize", "size": 30}, FIT[2]], "does not fit into 28x28"),
        ([{"step": "twist"}], "unknown preprocessing step 'twist'"),
    ],
)
def test_a_model_whose_preprocessing_does_not_fit_is_refused(
    steps: list[dict[str, object]], complaint: str
) -> None:
    good = open_model(model_path("digits"))
    spec = replace(good.spec, preprocessing=(*steps, {"step": "normalise"}))
    with pytest.raises(ModelFileError, match=complaint):
        kalamos.Recognizer(replace(good, spec=spec))


# ------------------------------------------------------------------------------ charset, target accuracy


@pytest.fixture(scope="module")
def validated() -> kalamos.Recognizer:
    """`digits`, as if its validation had reached 99 % from a confidence of 0.9."""
    model = open_model(model_path("digits"))
    points = (OperatingPoint(0.9, 0.0, 1.0), OperatingPoint(0.99, 0.9, 0.8))
    return kalamos.Recognizer(
        replace(model, spec=replace(model.spec, selective=SelectiveAccuracy(500, points)))
    )


@pytest.fixture
def unvalidated() -> kalamos.Recognizer:
    model = open_model(model_path("digits"))
    return kalamos.Recognizer(replace(model, spec=replace(model.spec, selective=None)))


def test_a_charset_answers_with_its_own_labels_and_tells_what_it_took(reader: kalamos.Recognizer) -> None:
    free = dict(reader.predict(SEVEN, top_k=10).top)
    answer = reader.predict(SEVEN, top_k=10, charset="1 2 4")
    assert {label for label, _ in answer.top} == {"1", "2", "4"}
    inside = free["1"] + free["2"] + free["4"]
    assert answer.removed == pytest.approx(1 - inside)
    assert dict(answer.top) == pytest.approx({label: free[label] / inside for label in "124"}, rel=1e-4)
    assert sum(share for _, share in answer.top) == pytest.approx(1)
    assert f"removed={answer.removed:.3f}" in repr(answer)
    assert reader.predict(SEVEN).removed is None


def test_a_charset_of_all_changes_nothing_but_the_removed_share(reader: kalamos.Recognizer) -> None:
    for charset in ("digits", "9876543210"):
        answer = reader.predict(SEVEN, charset=charset)
        assert answer.removed == pytest.approx(0, abs=1e-12)
        assert replace(answer, removed=None) == reader.predict(SEVEN)


def test_a_single_class_is_always_the_answer(reader: kalamos.Recognizer) -> None:
    answer = reader.predict(SEVEN, charset="0", top_k=5)
    assert (answer.label, answer.confidence, len(answer.top)) == ("0", 1.0, 1)
    assert answer.removed > 0.99


def test_a_charset_is_the_same_on_every_way(reader: kalamos.Recognizer, tmp_path: Path) -> None:
    paths = [str(path) for path in READABLE] + [str(tmp_path / "absent.png")]
    single = [reader.predict(path, charset="4 7", top_k=2) for path in READABLE]
    for ways in (
        reader.predict_batch(paths, charset="4 7", top_k=2),
        list(reader.predict_files(paths, charset="4 7", top_k=2)),
    ):
        for one, other in zip(single, ways[:-1], strict=True):
            assert (one.label, one.path) == (other.label, other.path)
            assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
            assert one.removed == pytest.approx(other.removed, abs=1e-5)
        assert ways[-1].removed is None
        assert isinstance(ways[-1].error, ImageNotFoundError)
    assert next(iter(reader.predict_folder(SAMPLES, charset="4 7"))).label in "47"


def test_a_charset_is_refused_before_anything_is_read(
    reader: kalamos.Recognizer, unvalidated: kalamos.Recognizer
) -> None:
    def images() -> Iterator[str]:
        raise AssertionError("read")
        yield ""

    for ask in (reader.predict_batch, reader.predict_files):
        with pytest.raises(UsageError, match="lacks 'x'"):
            ask(images(), charset="x")
    for ask in (unvalidated.predict_batch, unvalidated.predict_files):
        with pytest.raises(UsageError, match="export it again"):
            ask(images(), target_accuracy=0.9)
    with pytest.raises(UsageError, match="leaves nothing"):
        reader.predict_folder(SAMPLES, charset="upper")
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        reader.predict(SEVEN, charset="digit")


def test_a_target_accuracy_abstains_below_its_threshold(validated: kalamos.Recognizer) -> None:
    results = validated.predict_batch(READABLE, target_accuracy=0.99)
    assert results == validated.predict_batch(READABLE, min_confidence=0.9)
    assert not any(result.abstained for result in validated.predict_batch(READABLE, target_accuracy=0.9))
    torn = validated.predict(SAMPLES / "0-pen.png", charset="1 7", target_accuracy=0.99)
    assert (torn.label, torn.abstained) == (None, True)
    assert 0.5 < torn.confidence < 0.9
    with pytest.raises(UsageError, match=r"highest that was reached is 0\.99"):
        validated.predict(SEVEN, target_accuracy=0.999)
    with pytest.raises(UsageError, match="both given"):
        validated.predict(SEVEN, target_accuracy=0.9, min_confidence=0.5)


def test_abstention_under_a_charset_looks_at_the_confidence_within_it(reader: kalamos.Recognizer) -> None:
    sure = reader.predict(SEVEN, charset="7 8", min_confidence=0.99)
    assert (sure.label, sure.abstained) == ("7", False)
    torn = reader.predict(SEVEN, charset="0 5 8", min_confidence=0.999)
    assert (torn.label, torn.abstained) == (None, True)
    assert torn.removed > 0.9


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """The sample "7" on 6 megapixels, a colour JPEG that lies on its side."""
    page = np.asarray(Image.open(SEVEN).convert("RGB").resize((2800, 1400), Image.Resampling.BICUBIC))
    page = np.pad(page, ((400, 400), (0, 0), (0, 0)), mode="edge")
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.rot90(page)).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


def test_a_photograph_is_decoded_to_no_more_pixels_than_count(
    reader: kalamos.Recognizer, photograph: bytes, tmp_path: Path
) -> None:
    whole = decode_grey(photograph)
    _, reduced = next(reader.trace(photograph))
    assert (whole.shape, reduced.shape) == ((2200, 2800), (550, 700))
    (tmp_path / "7.jpg").write_bytes(photograph)
    assert next(reader.trace(tmp_path / "7.jpg"))[1].shape == (550, 700)
    expected, prediction = reader.predict(whole), reader.predict(photograph)
    assert prediction.label == expected.label == "7"
    assert prediction.confidence == pytest.approx(expected.confidence, abs=0.02)
    [row] = reader.predict_folder(tmp_path)
    [member] = reader.predict_files([NamedImage("7.jpg", photograph)])
    assert row.top == member.top == prediction.top


def test_where_each_pixel_counts_a_photograph_is_decoded_whole(
    reader: kalamos.Recognizer, photograph: bytes
) -> None:
    steps = ({"step": "pad", "px": 12}, *reader.spec.preprocessing)
    padded = kalamos.Recognizer(replace(reader.model, spec=replace(reader.spec, preprocessing=steps)))
    assert reader.min_decode_pixels is not None
    assert padded.min_decode_pixels is None
    assert next(padded.trace(photograph))[1].shape == (2200, 2800)


def test_an_open_file_is_read_wherever_it_stands(reader: kalamos.Recognizer, tmp_path: Path) -> None:
    data = SEVEN.read_bytes()
    expected = replace(reader.predict(SEVEN), path=None)
    written = io.BytesIO()
    written.write(data)
    assert reader.predict(written) == reader.predict(data) == expected
    with SEVEN.open("rb") as file:
        assert reader.predict(file) == expected
    with SEVEN.open("rb", buffering=0) as file:
        assert reader.predict_batch([file, written]) == [expected, expected]
    with SEVEN.open("r", encoding="latin-1") as file, pytest.raises(InvalidArrayError, match='mode "rb"'):
        reader.predict(file)
    with pytest.raises(CorruptImageError, match="closed"):
        reader.predict(file)


def test_a_list_is_read_as_a_batch(reader: kalamos.Recognizer) -> None:
    answers = reader.predict([SEVEN, "none.png", np.zeros((9, 9), np.uint8)], top_k=1)
    assert isinstance(answers, kalamos.Results)
    assert answers[0] == reader.predict(SEVEN, top_k=1)
    assert [each.error and each.error.summary for each in answers] == [None, "not found", "no ink"]


def test_a_recognizer_keeps_its_own_limit_on_pixels(reader: kalamos.Recognizer) -> None:
    small = kalamos.load("digits", max_pixels=10)
    with pytest.raises(ImageTooLargeError):
        small.predict(SEVEN)
    assert small.predict(SEVEN, max_pixels=10_000_000) == reader.predict(SEVEN)
    [error] = [each.error for each in small.predict([SEVEN])]
    assert isinstance(error, ImageTooLargeError)


def test_what_has_no_path_is_shown_as_the_model_saw_it(reader: kalamos.Recognizer) -> None:
    answer = reader.predict(SEVEN.read_bytes())
    assert np.array_equal(answer.prepared, reader.prepare(SEVEN))
    assert "<img" in answer._repr_html_()
    assert (reader.predict(SEVEN).prepared, "<img" in reader.predict(SEVEN)._repr_html_()) == (None, True)
    assert "no ink" in reader.predict(np.zeros((9, 9), np.uint8))._repr_html_()
