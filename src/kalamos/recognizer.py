"""Images in, predictions out."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import BASE_LABELS, ClassMask
from kalamos.capital_shapes import bars_as_capitals, labels_without_small_l
from kalamos.errors import ImageError, ModelFileError, NoInkError, PreprocessingError, UsageError
from kalamos.images import MAX_PIXELS
from kalamos.images.files import display_name
from kalamos.images.pixels import out_of_memory
from kalamos.inputs.files import find_images
from kalamos.inputs.item import NamedImage, is_large, load_item, load_items, name_of, nbytes
from kalamos.model_file import LoadedModel, ModelSpec, open_model
from kalamos.parallel import GilGate, default_jobs, ordered_map
from kalamos.postprocessing import AnswerRule, Inference, predictions_of
from kalamos.predict_options import PredictKeywords, PredictOptions, spell_out_options
from kalamos.predictions import Prediction
from kalamos.preprocessing import Preprocessor
from kalamos.results import FolderResults, Results
from kalamos.zoo import find_model

if TYPE_CHECKING:
    from kalamos.datasets import Dataset
    from kalamos.evaluation.evaluate import Evaluation
    from kalamos.images import ImageSource
    from kalamos.inputs import Item
    from kalamos.preprocessing.steps import GreyImage

__all__ = ["Recognizer", "load"]

CHUNK = 64
"""Images a model run: large enough to spread the call's cost, small enough for the cache."""


DEFAULT_OPTIONS = PredictOptions()


def load(name_or_file: str | os.PathLike[str] = "digits", *, max_pixels: int = MAX_PIXELS) -> Recognizer:
    """Open a model: one of the shipped ones by name, or a model file.

    Args:
        name_or_file: a shipped model's name (`kalamos models` lists them), or the path of an `.onnx`
            file made by `kalamos export`.
        max_pixels: height x width of the largest image to decode, unless a call says otherwise.

    Raises:
        ModelNotFoundError: neither a shipped model nor a file.
        ModelError: the file is not a kalamos model, or must not be used.
        UsageError: it is the base model, which reads no alphabet before it is taught one.

    >>> load("digits").labels
    ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    model = open_model(find_model(name_or_file))
    if model.spec.alphabet.labels == BASE_LABELS:
        raise UsageError(
            f"{os.fspath(name_or_file)} knows shapes, and no alphabet to read with",
            remedy="teach it one: kalamos teach glyphs FOLDER -o mine.onnx",
        )
    return Recognizer(model, max_pixels=max_pixels)


class Recognizer:
    """Reads isolated characters with one model. Safe to share between threads.

    Args:
        model: an open model file.
        max_pixels: height x width of the largest image to decode, unless a call says otherwise.

    Raises:
        ModelFileError: the model's preprocessing does not fit its graph.

    >>> import numpy as np
    >>> reader = load("digits")
    >>> page = np.full((80, 60), 255, np.uint8)
    >>> page[10:70, 27:33] = 0                        # an upright stroke, black on white
    >>> reader.predict(page).label
    '1'
    >>> reader.predict(np.full((80, 60), 255, np.uint8)).error.summary
    'no ink'
    """

    def __init__(self, model: LoadedModel, *, max_pixels: int = MAX_PIXELS) -> None:
        self._model = model
        self._max_pixels = max_pixels
        self._preprocessor = _matching_preprocessor(model)
        self.labels: tuple[str, ...] = model.spec.alphabet.labels
        """The classes, in the order of the model's output."""

    @property
    def spec(self) -> ModelSpec:
        """What the model file says about itself."""
        return self._model.spec

    @property
    def model(self) -> LoadedModel:
        """The open model file: where it lies, its SHA-256, its session."""
        return self._model

    @property
    def min_decode_pixels(self) -> int | None:
        """How few pixels (height x width) a photograph may be decoded to; None where each counts.

        What `kalamos.images.decode_grey` wants to know of the model that an image is for.
        """
        return self._preprocessor.min_decode_pixels

    @property
    def enough_pixels(self) -> int | None:
        """The old name of `min_decode_pixels`."""
        import warnings

        warnings.warn("use min_decode_pixels", DeprecationWarning, stacklevel=2)
        return self.min_decode_pixels

    def __repr__(self) -> str:
        return f"Recognizer({self.spec.name!r}, {len(self.labels)} classes)"

    @overload
    def predict(
        self,
        source: list[ImageSource] | tuple[ImageSource, ...],
        options: PredictOptions | None = None,
        **keywords: Unpack[PredictKeywords],
    ) -> Results: ...

    @overload
    def predict(
        self,
        source: ImageSource,
        options: PredictOptions | None = None,
        **keywords: Unpack[PredictKeywords],
    ) -> Prediction: ...

    @spell_out_options
    def predict(
        self,
        source: ImageSource | list[ImageSource] | tuple[ImageSource, ...],
        options: PredictOptions | None = None,
        **keywords: Unpack[PredictKeywords],
    ) -> Prediction | Results:
        """Read one image, or each of a list.

        Args:
            source: a path, encoded bytes, an open binary file such as `io.BytesIO`, a PIL image, or an
                array: [H, W], [H, W, 1] grey, [H, W, 2] grey and alpha, [H, W, 3] RGB or [H, W, 4] RGBA;
                bool, integers in 0..255, uint16, or floats in [0, 1] or [0, 255]. Any size, either
                polarity. A list or a tuple of these is read as by `predict_batch`.
            options: how to answer.
            **keywords: the fields of `PredictOptions`, in place of `options` or of some of its values.

        Returns:
            The prediction; for a blank image one without a label whose `error` is a `NoInkError`. For a list
            the predictions, in order.

        Raises:
            ImageError: the image cannot be read; the subclass says why.
            UsageError: an option out of range, an accuracy that validation did not reach, a charset that
                the model's alphabet lacks.

        >>> import numpy as np
        >>> page = np.full((80, 60), 255, np.uint8)
        >>> page[10:70, 27:33] = 0
        >>> answer = load("digits").predict(page, charset="0 2 4 6 8")
        >>> answer.label in "02468", answer.removed > 0.9
        (True, True)
        """
        options = self._options(options, keywords)
        if isinstance(source, list | tuple):
            return self.predict_batch(source, options)
        rule = self.answer_rule(options)
        path = name_of(source)
        try:
            prepared = self.prepare(source, timeout=options.timeout, max_pixels=options.max_pixels)
        except NoInkError as error:
            return _failure(error, path)
        [prediction] = predictions_of(
            self.infer_prepared([prepared], rule.class_mask), [path], rule, [prepared]
        )
        if path is None:
            # Nobody else has it yet, and `replace` would cost a tenth of a small image's time.
            object.__setattr__(prediction, "prepared", prepared)
        return prediction

    @spell_out_options
    def predict_batch(
        self,
        sources: Iterable[ImageSource],
        options: PredictOptions | None = None,
        **keywords: Unpack[PredictKeywords],
    ) -> Results:
        """Read many images, in order; one that cannot be read becomes a row with its error.

        >>> import numpy as np
        >>> results = load("digits").predict_batch([np.zeros((28, 28)), "no-such-file.png"])
        >>> [result.error.summary for result in results]
        ['no ink', 'not found']
        """
        if isinstance(sources, (str, bytes, bytearray, memoryview, os.PathLike)):
            raise UsageError("predict_batch takes a list of images", remedy="use predict for a single one")
        options = self._options(options, keywords)
        return Results(self._stream(sources, options, jobs=None))

    @spell_out_options
    def predict_folder(
        self,
        folder: str | os.PathLike[str],
        options: PredictOptions | None = None,
        *,
        jobs: int | None = None,
        **keywords: Unpack[PredictKeywords],
    ) -> FolderResults:
        """Read every image under a folder, in case-insensitive name order.

        Nothing is read until the results are used. Iterating over them keeps none, so that memory does not
        grow with the folder; `save`, `to_pandas`, `to_polars`, `len` and a notebook read and keep all.

        Args:
            folder: searched with its sub-folders for files with an image's suffix.
            jobs: worker threads; None takes one for each available processor.

        Raises:
            UsageError: the folder is absent or holds no image.
        """
        options = self._options(options, keywords)
        if not Path(folder).is_dir():
            raise UsageError(f"{os.fspath(folder)}: no such folder", remedy="use predict for a single image")
        paths = find_images([os.fspath(folder)])
        return FolderResults(self._stream(paths, options, jobs))

    @spell_out_options
    def predict_files(
        self,
        paths: Iterable[Item],
        options: PredictOptions | None = None,
        *,
        jobs: int | None = None,
        **keywords: Unpack[PredictKeywords],
    ) -> Iterator[Prediction]:
        """Like `predict_folder`, over any stream of paths and `kalamos.inputs.NamedImage`s, in its order.

        `kalamos.inputs.InputSearch` makes such a stream of all that the command line takes: zip and tar
        archives, Parquet and CSV files, standard input.

        >>> from kalamos.inputs import NamedImage
        >>> [result] = load("digits").predict_files([NamedImage("forms.zip/7.png", b"")])
        >>> result
        Prediction(label=None, path='forms.zip/7.png', error='forms.zip/7.png: the file is empty; ...')
        """
        options = self._options(options, keywords)
        return self._stream(paths, options, jobs)

    def evaluate(
        self,
        dataset: Dataset | str | os.PathLike[str],
        *,
        split: str | None = None,
        split_of: Any = None,
        charset: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Evaluation:
        """Measure this model on a dataset; see `kalamos.evaluate`, which takes the same arguments.

        >>> model.evaluate("letters/", split_of=run).accuracy  # doctest: +SKIP
        0.972
        """
        # Late, as evaluation is built on recognizers.
        measured: Evaluation = import_module("kalamos.evaluation.evaluate").evaluate(
            self, dataset, split=split, split_of=split_of, charset=charset, data_dir=data_dir
        )
        return measured

    def feature_maps(self, source: ImageSource) -> dict[str, NDArray[np.float32]]:
        """What the network's stages answer to one image: stage name -> float32 [C, h, w].

        >>> import numpy as np
        >>> stroke = np.zeros((28, 28), np.uint8); stroke[4:24, 13:15] = 255
        >>> {name: maps.shape for name, maps in load("digits").feature_maps(stroke).items()}
        {'stem': (16, 24, 24), 'middle': (32, 8, 8), 'deep': (88, 2, 2)}
        """
        batch = self._preprocessor.batch([self.prepare(source)])
        return {stage: maps[0] for stage, maps in self._model.feature_maps(batch).items()}

    def prepare(
        self, source: ImageSource, *, timeout: float | None = None, max_pixels: int | None = None
    ) -> GreyImage:
        """What the model will see of an image: uint8 [S, S], ink bright on black.

        The options are those of `predict`.

        Raises:
            ImageError: the image cannot be read, or is blank (`NoInkError`).
        """
        try:
            return self._preprocessor.image(self._load(source, timeout, max_pixels))
        except (MemoryError, cv2.error) as error:
            raise out_of_memory(error, _display_name(source)) or error from None

    def trace(
        self, source: ImageSource | NamedImage, *, timeout: float | None = None, max_pixels: int | None = None
    ) -> Iterator[tuple[str, GreyImage]]:
        """What becomes of an image on its way to the model: the grey input, then each step's result.

        The options are those of `predict`.

        Yields:
            `"input"` or the step's name, and an image uint8 [h, w].

        Raises:
            ImageError: the image cannot be read, or a step finds it blank (`NoInkError`); what came before
                has been yielded by then.

        >>> import numpy as np
        >>> page = np.full((80, 60), 255, np.uint8)
        >>> page[10:70, 27:33] = 0
        >>> [name for name, image in load("digits").trace(page)]
        ['input', 'ink', 'crop', 'stroke', 'resize', 'centre']
        """
        grey = self._load(source, timeout, max_pixels)
        yield "input", grey
        yield from self._preprocessor.trace(grey)

    def logits(self, prepared: Sequence[GreyImage]) -> NDArray[np.float32]:
        """Prepared images, N of uint8 [S, S] -> logits float32 [N, C], before the temperature."""
        return self._model.logits(self._preprocessor.batch(prepared))

    def answers(
        self, prepared: Sequence[GreyImage]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
        """Do as `logits`; with the probability float64 [N] of being a character, if the model tells."""
        return self._model.answers(self._preprocessor.batch(prepared))

    def _load(
        self, source: ImageSource | NamedImage, timeout: float | None, max_pixels: int | None
    ) -> GreyImage:
        return load_item(
            source,
            max_pixels=self._max_pixels if max_pixels is None else int(max_pixels),
            min_decode_pixels=self.min_decode_pixels,
            timeout=timeout,
        )

    def _options(self, options: PredictOptions | None, keywords: PredictKeywords) -> PredictOptions:
        options = DEFAULT_OPTIONS if options is None else options
        return replace(options, **keywords) if keywords else options

    def answer_rule(self, options: PredictOptions) -> AnswerRule:
        """What options come to for this model.

        Raises:
            UsageError: see `AnswerRule.for_model`.
        """
        return AnswerRule.for_model(self.spec, options)

    def _stream(
        self,
        sources: Iterable[ImageSource | NamedImage],
        options: PredictOptions,
        jobs: int | None,
    ) -> Iterator[Prediction]:
        if jobs is not None and jobs < 1:
            raise UsageError(f"jobs = {jobs} leaves no worker", remedy="use 1 or more")
        rule = self.answer_rule(options)
        gate, stopping = GilGate(), threading.Event()

        def read(chunk: list[ImageSource | NamedImage]) -> list[Prediction]:
            return self._read_chunk(chunk, options, rule, gate, stopping)

        return ordered_map(
            read,
            sources,
            chunk=CHUNK,
            jobs=jobs or default_jobs(),
            is_large=is_large,
            nbytes=nbytes,
            stopping=stopping,
        )

    def _read_chunk(
        self,
        sources: list[ImageSource | NamedImage],
        options: PredictOptions,
        rule: AnswerRule,
        gate: GilGate,
        stopping: threading.Event,
    ) -> list[Prediction]:
        outcomes = self._prepare_all(sources, options, gate, stopping)
        paths = [name_of(source) for source in sources[: len(outcomes)]]
        found = self.infer_prepared(outcomes, rule.class_mask)
        ready = [outcome for outcome in outcomes if not isinstance(outcome, ImageError)]
        read = iter(predictions_of(found, [paths[i] for i in found.rows.tolist()], rule, ready))
        return [
            _failure(outcome, path) if isinstance(outcome, ImageError) else next(read)
            for outcome, path in zip(outcomes, paths, strict=True)
        ]

    def infer(self, sources: Sequence[ImageSource], class_mask: ClassMask | None = None) -> Inference:
        """Prepare images, drop those that cannot be read or are blank, and run the model on the others.

        The one path of prediction, evaluation and the robustness suite. Give it some dozens of images at a
        time: they make one batch.

        Args:
            sources: N images, as for `predict`.
            class_mask: the classes to answer with, see `kalamos.alphabets.restrict`; None takes all.

        >>> import numpy as np
        >>> stroke = np.zeros((28, 28), np.uint8); stroke[4:24, 12:15] = 255
        >>> found = load("digits").infer([np.zeros((28, 28), np.uint8), stroke])
        >>> found.rows.tolist(), found.probabilities.argmax(axis=1).tolist()
        ([1], [1])
        """
        outcomes = self._prepare_all(list(sources), PredictOptions(), GilGate(), threading.Event())
        return self.infer_prepared(outcomes, class_mask)

    def infer_ink(self, inks: Sequence[GreyImage], class_mask: ClassMask | None = None) -> Inference:
        """Do as `infer` for pictures uint8 [H, W] of ink alone, bright on black."""
        return self.infer_prepared(self.prepare_ink(inks), class_mask)

    def prepare_ink(self, inks: Sequence[GreyImage]) -> Sequence[GreyImage | ImageError]:
        """Do as `prepare` for pictures uint8 [H, W] of ink alone, or give the error of one without."""
        return self._preprocessor.images_of_ink(inks)

    def infer_prepared(
        self, outcomes: Sequence[GreyImage | ImageError], class_mask: ClassMask | None = None
    ) -> Inference:
        """Do as `infer` for prepared images uint8 [S, S], and the errors of what could not be prepared."""
        ready = {i: outcome for i, outcome in enumerate(outcomes) if not isinstance(outcome, ImageError)}
        rows = np.fromiter(ready, np.int64, len(ready))
        if not ready:
            return Inference.of_logits(
                rows, np.zeros((0, len(self.labels)), np.float32), self.spec.temperature, class_mask
            )
        logits, known = self.answers([*ready.values()])
        found = Inference.of_logits(rows, logits, self.spec.temperature, class_mask, known)
        asked = labels_without_small_l(class_mask)
        if asked is None:
            return found
        return bars_as_capitals(found, [*ready.values()], asked, [asked] * len(ready))

    def _prepare_all(
        self,
        sources: list[ImageSource | NamedImage],
        options: PredictOptions,
        gate: GilGate,
        stopping: threading.Event,
    ) -> list[GreyImage | ImageError]:
        outcomes: list[GreyImage | ImageError] = []
        loaded = load_items(
            sources,
            max_pixels=self._max_pixels if options.max_pixels is None else int(options.max_pixels),
            min_decode_pixels=self.min_decode_pixels,
            timeout=options.timeout,
            stopping=stopping,
        )
        with gate.take() as done, contextlib.closing(loaded):
            for _ in sources:
                if stopping.is_set():  # 64 photographs can take half a minute
                    break
                grey = next(loaded)
                # Reduced at once, so that no more than one photograph is held whole.
                outcomes.append(grey if isinstance(grey, ImageError) else self._preprocessor.reduce(grey))
                done()
        # Past the gate: a run of the ink finder is long, and does without the GIL.
        return self._prepare_together(outcomes, sources)

    def _prepare_together(
        self, outcomes: list[GreyImage | ImageError], sources: list[ImageSource | NamedImage]
    ) -> list[GreyImage | ImageError]:
        """Prepare what was decoded; errors stay where they are."""
        greys = {i: outcome for i, outcome in enumerate(outcomes) if not isinstance(outcome, ImageError)}
        try:
            prepared: Sequence[GreyImage | ImageError] = self._preprocessor.images([*greys.values()])
        except (ImageError, MemoryError, cv2.error):
            prepared = [self._prepared(grey, sources[i]) for i, grey in greys.items()]
        for i, outcome in zip(greys, prepared, strict=True):
            outcomes[i] = outcome
        return outcomes

    def _prepared(self, grey: GreyImage, source: ImageSource | NamedImage) -> GreyImage | ImageError:
        """One image as the model will see it, or the error that it has instead."""
        try:
            return self._preprocessor.image(grey)
        except ImageError as error:
            return error
        except (MemoryError, cv2.error) as error:
            if (too_large := out_of_memory(error, _display_name(source))) is None:
                raise
            return too_large


def _display_name(source: ImageSource | NamedImage) -> str:
    return display_name(name_of(source) or "the image")


def _matching_preprocessor(model: LoadedModel) -> Preprocessor:
    """The model's preprocessing; a `ModelFileError` where it does not make what the graph takes."""
    try:
        preprocessor = Preprocessor(model.spec.preprocessing)
        size = preprocessor.output_size()
    except (PreprocessingError, ImageError) as error:
        problem = f"{model.where}: its preprocessing cannot be used: {error.problem}"
        raise ModelFileError(problem, remedy="export the model again") from error
    if size != model.spec.input_size:
        raise ModelFileError(
            f"{model.where}: its preprocessing makes images of {size} px, "
            f"its graph takes {model.spec.input_size}",
            remedy="export the model again",
        )
    return preprocessor


def _failure(error: ImageError, path: str | None) -> Prediction:
    # A kept traceback would keep every frame's arrays alive with it.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return Prediction(None, None, (), path, error)
