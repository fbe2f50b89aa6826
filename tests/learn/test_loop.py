from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import kalamos
from kalamos.alphabets import DIGITS, Alphabet
from kalamos.errors import RecipeError, TrainingError
from kalamos.learn import Callback, EpochReport, Recipe, Run
from kalamos.learn.callbacks import Start, StepReport
from kalamos.learn.checkpoint import BEST_FILE, LAST_FILE, Checkpoints, TrainingState, read_weights
from kalamos.learn.data import Batch, Examples, Shard
from kalamos.learn.distributed import Engine
from kalamos.learn.loop import Objective, Teacher, infer, infer_examples, load_teacher, train_network
from kalamos.learn.models import StagedNetwork, create_model
from kalamos.learn.recipe import AUGMENTATIONS
from kalamos.preprocessing import default_steps

Make = Callable[..., StagedNetwork]

SHORT = Recipe(epochs=1, batch_size=16, lr=0.01)


def first(data: Examples, count: int) -> Examples:
    return replace(data, images=data.images[:count], labels=data.labels[:count])


def weights(network: torch.nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in network.state_dict().values()]


def trained(recipe: Recipe, network: StagedNetwork, data: Examples, **more: Any) -> StagedNetwork:
    return train_network(recipe, network, data, data, **more).kept


class Notes(Callback):
    def __init__(self) -> None:
        self.starts: list[Start] = []
        self.steps: list[StepReport] = []
        self.epochs: list[EpochReport] = []

    def on_start(self, start: Start) -> None:
        self.starts.append(start)

    def on_step(self, report: StepReport) -> None:
        self.steps.append(report)

    def on_epoch(self, report: EpochReport) -> None:
        self.epochs.append(report)


def test_what_can_be_learnt_is_learnt(quick_recipe: Recipe, examples: Examples, held: Examples) -> None:
    torch.manual_seed(0)
    notes = Notes()
    state = train_network(quick_recipe, create_model("kalamos_xs", 10), examples, held, callback=notes)
    logits = infer_examples(state.kept, held)
    accuracy = float((logits.argmax(1) == held.labels).double().mean())
    assert accuracy > 0.95
    assert state.reports == notes.epochs
    assert [report.epoch for report in notes.epochs] == [1, 2, 3, 4, 5, 6]
    # The network reported on is the one returned.
    assert notes.epochs[-1].val_accuracy == accuracy
    loss = float(torch.nn.functional.cross_entropy(logits, held.labels))
    assert notes.epochs[-1].val_loss == pytest.approx(loss, rel=1e-5)
    assert notes.epochs[-1].loss < notes.epochs[0].loss
    assert all(report.images_per_second > 0 and report.seconds > 0 for report in notes.epochs)


def test_the_watch_is_told_what_is_trained_and_how_far_it_is(small: Make, examples: Examples) -> None:
    notes = Notes()
    recipe = replace(SHORT, epochs=2, batch_size=6, arch="cnn2")
    train_network(recipe, small(), examples, first(examples, 7), callback=notes)
    [start] = notes.starts
    assert (start.arch, start.parameters) == ("cnn2", sum(p.numel() for p in small().parameters()))
    assert (start.train_count, start.val_count, start.epochs, start.steps) == (300, 7, 2, 50)
    assert (start.earlier, start.device, start.precision) == ((), "cpu", "float32")
    told = [(report.epoch, report.step) for report in notes.steps]
    assert told == [(epoch, step) for epoch in (1, 2) for step in range(1, 51)]
    assert notes.steps[-1].loss == notes.epochs[-1].loss


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    small: Make, few: Examples, ema_decay: float
) -> None:
    recipe = replace(SHORT, epochs=2, ema_decay=ema_decay, augmentation=AUGMENTATIONS["seed-arabic"])
    one, again = (trained(recipe, small(dropout=0.5), few) for _ in range(2))
    assert weights(one) == weights(again)
    other = trained(replace(recipe, seed=43), small(dropout=0.5), few)
    assert weights(one) != weights(other)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_change_nothing(small: Make, few: Examples, workers: int) -> None:
    recipe = replace(SHORT, epochs=2, augmentation=AUGMENTATIONS["seed-arabic"])
    alone = trained(recipe, small(dropout=0.5), few)
    assert weights(trained(recipe, small(dropout=0.5), few, workers=workers)) == weights(alone)


def test_watching_does_not_change_the_training(small: Make, few: Examples, held: Examples) -> None:
    class Meddler(Callback):
        def on_epoch(self, report: EpochReport) -> None:  # noqa: ARG002
            torch.rand(1)

    recipe = replace(SHORT, epochs=2)
    one = train_network(recipe, small(dropout=0.5), few, held)
    other = train_network(recipe, small(dropout=0.5), few, first(held, 3), callback=Meddler())
    assert weights(one.network) == weights(other.network)


def test_dropout_differs_from_epoch_to_epoch(small: Make, few: Examples) -> None:
    # With the same images in one batch and a rate of nearly nothing, all else is the same.
    recipe = replace(SHORT, epochs=3, batch_size=40, lr=1e-12, schedule="constant")
    losses = [report.loss for report in train_network(recipe, small(dropout=0.5), few, few).reports]
    assert len({round(loss, 4) for loss in losses}) == 3


def test_the_averaged_weights_are_the_ones_that_count(small: Make, few: Examples) -> None:
    plain = trained(SHORT, small(), few)
    barely = trained(replace(SHORT, ema_decay=1e-9), small(), few)  # an average of the last step alone
    slow = trained(replace(SHORT, ema_decay=0.9), small(), few)
    for a, b in zip(plain.parameters(), barely.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert weights(slow) != weights(plain)


def test_the_average_is_the_exponential_one(small: Make, few: Examples) -> None:
    # With one batch an epoch, the plain runs of 1, 2, 3 epochs are the states that the average has seen.
    recipe = replace(SHORT, batch_size=40, schedule="constant", optimizer="sgd", momentum=0)
    states = [trained(replace(recipe, epochs=epochs), small(), few).state_dict() for epochs in (1, 2, 3)]
    averaged = trained(replace(recipe, epochs=3, ema_decay=0.2), small(), few).state_dict()
    early = 2 / 11  # below 0.2 after one step: an average forgets its beginning; 0.25 would follow
    for name, value in averaged.items():
        if value.is_floating_point():
            first = early * states[0][name] + (1 - early) * states[1][name]
            assert torch.allclose(value, 0.2 * first + 0.8 * states[2][name], atol=1e-5), name


def test_the_average_forgets_where_it_began(small: Make, few: Examples) -> None:
    recipe = replace(SHORT, epochs=9, ema_decay=0.999, lr=1e-12)
    network = small()
    with torch.no_grad():
        for buffer_name, buffer in network.named_buffers():
            if buffer_name.endswith("running_var"):
                buffer.fill_(1e6)
    averaged = trained(recipe, network, few).state_dict()
    assert max(v.max().item() for n, v in averaged.items() if n.endswith("running_var")) < 1e6 * 0.9**6


@pytest.mark.parametrize(("count", "size"), [(33, 16), (17, 16), (2, 16), (40, 2)])
def test_a_remainder_of_one_trains(small: Make, few: Examples, count: int, size: int) -> None:
    notes = Notes()
    trained(replace(SHORT, batch_size=size), small(), first(few, count), callback=notes)
    assert np.isfinite(notes.epochs[0].loss)


@pytest.mark.parametrize(
    ("count", "size", "world", "told"),
    [
        (1, 16, 1, "a batch of 1 is too small: kalamos_xs normalises over it; collect more images"),
        (40, 1, 1, "a batch of 1 is too small: kalamos_xs normalises over it; choose a larger --batch-size"),
        (3, 16, 2, "a batch of 3 is too small for 2 processes: kalamos_xs .*; collect more images"),
        (40, 3, 2, "a batch of 3 is too small for 2 processes: kalamos_xs .*; choose a larger --batch-size"),
    ],
)
def test_too_few_for_batch_norm_is_told(
    small: Make, few: Examples, count: int, size: int, world: int, told: str
) -> None:
    with pytest.raises(TrainingError, match=told):
        trained(replace(SHORT, batch_size=size), small(), first(few, count), engine=Engine(world=world))


def test_a_network_without_batch_norm_learns_from_single_images(few: Examples) -> None:
    trained(replace(SHORT, batch_size=1), create_model("cnn2", 10), first(few, 3))
    trained(SHORT, create_model("cnn2", 10), first(few, 1))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one-cycle", "plateau"])
def test_every_optimizer_with_every_schedule(
    small: Make, few: Examples, optimizer: str, schedule: str
) -> None:
    recipe = replace(SHORT, epochs=2, optimizer=optimizer, schedule=schedule, momentum=0)
    assert all(np.isfinite(report.loss) for report in train_network(recipe, small(), few, few).reports)


def test_label_smoothing_and_clipping_are_used(small: Make, few: Examples) -> None:
    plain = weights(trained(SHORT, small(), few))
    for change in ({"label_smoothing": 0.1},):
        assert weights(trained(replace(SHORT, **change), small(), few)) != plain
    sgd = replace(SHORT, optimizer="sgd", momentum=0, weight_decay=0, schedule="constant", batch_size=40)
    begun = [p.detach().clone() for p in small().parameters()]
    clipped = trained(replace(sgd, clip_norm=1e-3), small(), few)
    moved = [(p - before).square().sum() for p, before in zip(clipped.parameters(), begun, strict=True)]
    assert float(torch.stack(moved).detach().sum().sqrt()) == pytest.approx(sgd.lr * 1e-3, rel=1e-3)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_logits_are_adjusted_by_how_often_classes_come(small: Make, few: Examples, tau: float) -> None:
    uneven = first(few, 33)
    recipe = replace(SHORT, batch_size=33, lr=1e-12, logit_adjustment=tau)
    [report] = train_network(recipe, small(), uneven, few).reports
    logits = small()(uneven.normalised(slice(None)))
    priors = torch.tensor([4, 4, 4, 3, 3, 3, 3, 3, 3, 3]) / 33
    expected = torch.nn.functional.cross_entropy(logits + tau * priors.log(), uneven.labels)
    assert report.loss == pytest.approx(float(expected.detach()), rel=1e-5)


def test_frozen_parts_stay_as_they_are(small: Make, few: Examples) -> None:
    network = small()
    network.stages.requires_grad_(False)
    before = [p.clone() for p in network.stages.parameters()]
    trained(SHORT, network, few)
    assert all(torch.equal(p, b) for p, b in zip(network.stages.parameters(), before, strict=True))


def test_patience_ends_it_early(small: Make, few: Examples) -> None:
    state = train_network(replace(SHORT, epochs=30, patience=3, lr=1e-12), small(), few, few)
    assert state.epoch == state.best_epoch + 3 < 30


@pytest.mark.parametrize("patience", [0, 30])
def test_patience_that_is_not_used_up_does_not(small: Make, few: Examples, patience: int) -> None:
    state = train_network(replace(SHORT, epochs=5, patience=patience, lr=1e-12), small(), few, few)
    assert state.epoch == 5


def test_bf16_learns_and_is_judged_in_fp32(small: Make, examples: Examples, held: Examples) -> None:
    recipe = replace(SHORT, epochs=4, batch_size=32, lr=0.03)
    notes = Notes()
    state = train_network(
        recipe, small(), examples, held, engine=Engine(precision=torch.bfloat16), callback=notes
    )
    assert notes.starts[0].precision == "bfloat16"
    logits = infer_examples(state.kept, held)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert all(p.dtype == torch.float32 for p in state.network.parameters())
    assert state.reports[-1].loss < state.reports[0].loss
    assert state.reports[-1].val_accuracy > 0.6
    assert weights(state.network) != weights(train_network(recipe, small(), examples, held).network)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_loss_that_is_not_a_number_ends_the_training(small: Make, few: Examples, epochs: int) -> None:
    wild = replace(SHORT, epochs=epochs, optimizer="sgd", lr=1e30, schedule="constant")
    with pytest.raises(TrainingError, match="in epoch 1") as caught:
        trained(wild, small(), few)
    assert "lower learning rate (--lr)" in caught.value.remedy


def test_an_image_that_is_not_a_number_ends_the_training(small: Make, few: Examples) -> None:
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1, by step 1;"):
        trained(SHORT, small(), replace(few, scale=float("nan")))


def test_weights_that_the_last_step_ruined_are_not_kept(small: Make, few: Examples, tmp_path: Path) -> None:
    # One step: its loss was still finite when it was taken.
    wild = replace(SHORT, batch_size=40, optimizer="sgd", lr=1e38, schedule="constant")
    with pytest.raises(TrainingError, match=r"the validation loss became (nan|inf) in epoch 1"):
        trained(wild, small(), few, checkpoints=Checkpoints(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_training_that_goes_wrong_leaves_the_epochs_before_it(
    small: Make, few: Examples, tmp_path: Path
) -> None:
    network = small()

    class Poison(Callback):
        def on_epoch(self, report: EpochReport) -> None:
            if report.epoch == 2:
                network.head[1].weight.data.fill_(float("nan"))

    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(TrainingError, match="the loss became nan in epoch 3"):
        trained(replace(SHORT, epochs=5), network, few, checkpoints=checkpoints, callback=Poison())
    whole = train_network(replace(SHORT, epochs=5), small(), few, few)
    again = TrainingState.begin(SHORT, small(), 15, Engine().scaler)
    checkpoints.restore(again)
    assert [r.loss for r in again.reports] == [r.loss for r in whole.reports[:2]]
    for name in (BEST_FILE, LAST_FILE):
        assert all(torch.isfinite(value).all() for value in read_weights(tmp_path / name).values())


@pytest.mark.parametrize("workers", [0, 2])
def test_no_thread_survives_an_exception(small: Make, examples: Examples, workers: int) -> None:
    class Stop(Callback):
        def on_step(self, report: StepReport) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(replace(SHORT, batch_size=4), small(), examples, workers=workers, callback=Stop())
    assert caught.value.__traceback__ is not None  # all frames are still there
    assert threading.active_count() == before


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1001])
def test_infer_goes_through_every_image_in_batches(count: int) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    images = np.random.default_rng(0).integers(0, 256, (count, 2, 2), np.uint8)
    normalised = images[:, None].astype(np.float32) / 255
    with torch.no_grad():
        expected = network(torch.from_numpy(normalised)).numpy()
    logits = infer(network, normalised)
    assert (logits.shape, logits.dtype) == ((count, 3), np.float32)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    data = Examples(torch.from_numpy(images), torch.zeros(count, dtype=torch.int64), 3)
    np.testing.assert_allclose(infer_examples(network, data).numpy(), expected, atol=1e-6)
    parts = [infer_examples(network, data, shard=Shard(rank, 3)).numpy() for rank in range(3)]
    assert [len(part) for part in parts] == [len(range(rank, count, 3)) for rank in range(3)]
    for rank, part in enumerate(parts):
        np.testing.assert_allclose(part, expected[rank::3], atol=1e-6)


def test_infer_leaves_the_statistics_alone() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Flatten())
    before = weights(network)
    infer(network.train(), np.random.default_rng(0).random((8, 1, 2, 2), np.float32))
    assert weights(network) == before


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
    known = torch.randn(12, generator=torch.Generator().manual_seed(1))
    whole = Objective(recipe, NO_PRIORS)(answers, batch(8, 4), known)
    parts = 0.0
    for rank in range(2):
        part, told = (torch.cat([each[:8][rank::2], each[8:][rank::2]]) for each in (answers, known))
        targets = (torch.arange(8) % C)[rank::2]
        shard = Batch(torch.zeros(6, 1, 8, 8), targets, 8, 4)
        parts += Objective(recipe, NO_PRIORS)(part, shard, told).item()
    assert parts == pytest.approx(whole.item(), rel=1e-5)


def test_outliers_teach_whether_and_not_which() -> None:
    recipe = Recipe(outliers=1, outlier_weight=0.5)
    characters = logits(4)
    unsure = torch.cat([characters, torch.zeros(2, C)])
    sure = torch.cat([characters, 9 * torch.eye(C)[:2]])
    loss = Objective(recipe, NO_PRIORS)
    of_labels = Objective(Recipe(), NO_PRIORS)(characters, batch(4)).item()
    undecided = torch.zeros(6)
    expected = pytest.approx(of_labels + 0.5 * torch.tensor(2.0).log().item())
    assert loss(unsure, batch(4, 2), undecided).item() == expected
    assert loss(sure, batch(4, 2), undecided).item() == expected
    told = torch.tensor([9.0, 9, 9, 9, -9, -9])
    assert loss(sure, batch(4, 2), told).item() == pytest.approx(of_labels, abs=1e-3)
    assert loss(sure, batch(4, 2), -told).item() > of_labels + 4


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
