from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import kalamos
from kalamos.alphabets import DIGITS, Alphabet
from kalamos.errors import RecipeError, TrainingError
from kalamos.learn import Recipe, Run
from kalamos.learn.data import Batch
from kalamos.learn.loop import Objective, Teacher, load_teacher
from kalamos.preprocessing import default_steps

C = 5
NO_PRIORS = torch.zeros(C)


class Fixed(nn.Module):
    """Answers every image with the same logits."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), C)


def batch(count: int, outliers: int = 0, *, world: int = 1) -> Batch:
    images = torch.zeros(count + outliers, 1, 8, 8)
    return Batch(images, torch.arange(count) % C, count * world, outliers * world)


def logits(count: int) -> Tensor:
    return torch.randn(count, C, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_without_extras_it_is_the_labels_cross_entropy() -> None:
    answers = logits(8)
    loss = Objective(Recipe(label_smoothing=0.1), NO_PRIORS)(answers, batch(8))
    assert loss.item() == pytest.approx(
        F.cross_entropy(answers, torch.arange(8) % C, label_smoothing=0.1).item()
    )


def test_processes_parts_add_up() -> None:
    recipe = Recipe(outliers=9, outlier_weight=0.7)
    answers = logits(12)
    whole = Objective(recipe, NO_PRIORS)(answers, batch(8, 4))
    parts = 0.0
    for rank in range(2):
        known = answers[:8][rank::2]
        part = torch.cat([known, answers[8:][rank::2]])
        targets = (torch.arange(8) % C)[rank::2]
        parts += Objective(recipe, NO_PRIORS)(part, Batch(torch.zeros(6, 1, 8, 8), targets, 8, 4)).item()
    assert parts == pytest.approx(whole.item(), rel=1e-5)


def test_outliers_are_wanted_to_be_anything() -> None:
    recipe = Recipe(outliers=1, outlier_weight=0.5)
    known = logits(4)
    unsure = torch.cat([known, torch.zeros(2, C)])
    sure = torch.cat([known, 9 * torch.eye(C)[:2]])
    loss = Objective(recipe, NO_PRIORS)
    of_labels = Objective(Recipe(), NO_PRIORS)(known, batch(4)).item()
    assert loss(unsure, batch(4, 2)).item() == pytest.approx(of_labels + 0.5 * torch.tensor(5.0).log().item())
    assert loss(sure, batch(4, 2)) > loss(unsure, batch(4, 2)) + 1


def test_a_student_that_answers_as_its_teacher_learns_nothing_from_it() -> None:
    wanted = torch.tensor([2.0, -1, 0, 1, 0.5])
    teacher = Teacher([Fixed(wanted)], temperature=3.0)
    recipe = Recipe(teachers=("a",), distillation=0.9)
    answers = wanted.expand(4, C).clone().requires_grad_()
    labels_alone = Objective(Recipe(), NO_PRIORS)(answers, batch(4)).item()
    assert Objective(recipe, NO_PRIORS, teacher)(answers, batch(4)).item() == pytest.approx(
        0.1 * labels_alone, abs=1e-5
    )
    other = torch.zeros(4, C)
    assert Objective(recipe, NO_PRIORS, teacher)(other, batch(4)) > 0.5


def test_the_soft_targets_gradient_does_not_depend_on_the_temperature_at_first_order() -> None:
    wanted = torch.tensor([0.1, -0.1, 0, 0.05, 0])

    def gradient(temperature: float) -> Tensor:
        answers = torch.zeros(1, C, requires_grad=True)
        teacher = Teacher([Fixed(wanted)], temperature)
        recipe = Recipe(teachers=("a",), distillation=1.0)
        Objective(recipe, NO_PRIORS, teacher)(answers, batch(1)).backward()  # type: ignore[no-untyped-call]
        assert answers.grad is not None
        return answers.grad

    assert torch.allclose(gradient(1.0), gradient(8.0), atol=2e-3)


def test_teachers_are_averaged_and_never_change() -> None:
    one, two = Fixed(torch.tensor([9.0, 0, 0, 0, 0])), Fixed(torch.tensor([0.0, 9, 0, 0, 0]))
    teacher = Teacher([one, two], temperature=1.0)
    answer = teacher(torch.zeros(3, 1, 8, 8))
    assert answer[:, :2].flatten().tolist() == pytest.approx([0.5] * 6, abs=1e-3)
    assert not answer.requires_grad
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher.networks.training


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
