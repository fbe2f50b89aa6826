from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import kalamos
from kalamos.alphabets import DIGITS, Alphabet
from kalamos.errors import RecipeError, TrainingError
from kalamos.preprocessing import default_steps
from kalamos.training import Recipe, Run
from kalamos.training.teachers import load_teacher


def asking(run: Run, *teachers: object, temperature: float = 2.0) -> Recipe:
    names = tuple(map(str, teachers))
    return replace(run.recipe, teachers=names, distillation=0.5, distillation_temperature=temperature)


def images(size: int) -> torch.Tensor:
    return torch.rand(4, 1, size, size, generator=torch.Generator().manual_seed(0))


def expected(run: Run) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with torch.inference_mode():
        return torch.softmax(run.network(images(run.network.input_size)) / 2, dim=1).numpy()


def test_no_teacher_is_none() -> None:
    assert load_teacher(Recipe(), DIGITS) is None


def test_a_run_teaches_what_its_network_answers(tiny_run: Run, tiny_run_folder: Path) -> None:
    teacher = load_teacher(asking(tiny_run, tiny_run_folder), tiny_run.alphabet)
    assert teacher is not None
    answers = teacher(images(tiny_run.network.input_size))
    np.testing.assert_allclose(answers.numpy(), expected(tiny_run), atol=1e-6)


def test_a_model_file_teaches_what_its_run_would(
    tiny_run: Run, tiny_run_folder: Path, tiny_model: Path
) -> None:
    alone = load_teacher(asking(tiny_run, tiny_model), tiny_run.alphabet)
    both = load_teacher(asking(tiny_run, tiny_model, tiny_run_folder), tiny_run.alphabet)
    assert alone is not None
    assert both is not None
    shown = images(tiny_run.network.input_size).contiguous(memory_format=torch.channels_last)
    for teacher in (alone, both):
        answers = teacher(shown)
        np.testing.assert_allclose(answers.numpy(), expected(tiny_run), atol=1e-5)
        assert not answers.requires_grad


def test_a_shipped_model_teaches_by_its_name(
    tmp_path: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits-large").mkdir()  # a folder of that name does not hide it
    reader = kalamos.load("digits-large")
    recipe = replace(asking(tiny_run, "digits-large"), preprocessing=reader.spec.preprocessing)
    teacher = load_teacher(recipe, DIGITS)
    assert teacher is not None
    shown = images(reader.spec.input_size)
    logits = reader.model.session.run(["logits"], {reader.model.input_name: shown.numpy()})[0]
    wanted = torch.softmax(torch.from_numpy(logits) / 2, dim=1)
    np.testing.assert_allclose(teacher(shown).numpy(), wanted.numpy(), atol=1e-6)


def test_a_teacher_that_does_not_fit_is_refused(
    tiny_run: Run, tiny_run_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    for teacher in (tiny_run_folder, tiny_model):
        recipe = asking(tiny_run, teacher)
        with pytest.raises(RecipeError, match="other classes"):
            load_teacher(recipe, Alphabet("others", tuple("abcdefghij")))
        with pytest.raises(RecipeError, match="prepared otherwise"):
            load_teacher(replace(recipe, preprocessing=default_steps(32)), tiny_run.alphabet)
    with pytest.raises(TrainingError):
        load_teacher(asking(tiny_run, tmp_path), tiny_run.alphabet)
    with pytest.raises(RecipeError, match="neither a run folder nor a model"):
        load_teacher(asking(tiny_run, tmp_path / "gone"), tiny_run.alphabet)
    with pytest.raises(RecipeError, match=r"digit-large.*did you mean 'digits-large'"):
        load_teacher(asking(tiny_run, "digit-large"), tiny_run.alphabet)
