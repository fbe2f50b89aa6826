from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kalamos.training import Recipe
from kalamos.training.batches import Batch
from kalamos.training.objective import Objective, Teacher

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
