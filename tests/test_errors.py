from __future__ import annotations

import copy
import pickle
import re

import pytest

from kalamos import errors
from kalamos.errors import ImageError, KalamosError, MissingExtraError, NoInkError, suggest

ALL = [cls for cls in (getattr(errors, name) for name in errors.__all__) if isinstance(cls, type)]


def test_every_error_belongs_to_the_tree() -> None:
    assert all(issubclass(cls, KalamosError) for cls in ALL)
    defined = {
        name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, KalamosError)
    }
    assert defined == {cls.__name__ for cls in ALL}


def test_the_tree_in_the_documentation_is_the_real_one() -> None:
    parents: list[tuple[int, str]] = []
    documented = {}
    tree = (errors.__doc__ or "").split("```")[1]
    for line in tree.strip().splitlines():
        found = re.match(r"([│├└─ ]*)(\w+Error)", line)
        assert found, line
        depth, name = len(found[1]), found[2]
        parents = [parent for parent in parents if parent[0] < depth]
        documented[name] = parents[-1][1] if parents else "Exception"
        parents.append((depth, name))
    assert documented == {cls.__name__: cls.__base__.__name__ for cls in ALL if cls.__base__}


@pytest.mark.parametrize("cls", ALL)
def test_the_remedy_follows_the_problem(cls: type[KalamosError]) -> None:
    error = cls("the lamp is dark", remedy="light it")
    assert str(error) == "the lamp is dark; light it"
    assert (error.problem, error.remedy) == ("the lamp is dark", "light it")


def test_without_a_remedy_there_is_only_the_problem() -> None:
    assert str(KalamosError("the lamp is dark")) == "the lamp is dark"


@pytest.mark.parametrize("cls", ALL)
def test_errors_cross_process_boundaries_whole(cls: type[KalamosError]) -> None:
    error = cls("the lamp is dark", remedy="light it")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(again) is cls
        assert (str(again), again.problem, again.remedy) == (str(error), error.problem, error.remedy)


def test_what_went_wrong_at_work_exits_1_and_wrong_input_exits_2() -> None:
    at_work = {cls.__name__ for cls in ALL if cls.exit_code == 1}
    assert at_work == {"TrainingError", "ExportError"}
    assert {cls.exit_code for cls in ALL} == {1, 2}


def test_every_kind_of_unusable_image_has_its_own_summary() -> None:
    kinds = [cls for cls in ALL if issubclass(cls, ImageError)]
    summaries = [cls.summary for cls in kinds if issubclass(cls, ImageError)]
    assert len(kinds) >= 7
    assert len(set(summaries)) == len(summaries)
    assert NoInkError.summary == "no ink"


def test_a_missing_extra_says_how_to_install_it() -> None:
    assert str(MissingExtraError("training needs PyTorch", extra="train")) == (
        "training needs PyTorch; install it with: pip install 'kalamos[train]'"
    )


def test_suggest() -> None:
    assert suggest("epoch", ["epochs", "lr"]) == "did you mean 'epochs'?"
    assert suggest("zzz", ["b", "a"], otherwise="give one of") == "give one of: a, b"
    assert suggest("zzz", []) == ""
