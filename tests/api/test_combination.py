"""Methods that are trained as one: whose terms count, what is read, what cannot be joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from kdharness.api import Method, MethodSpec, Phase, Reads, View
from kdharness.api.combination import Combination, fault_of, joined_reads
from kdharness.api.requirements import Pair, Requirement
from kdharness.errors import UserError
from kdharness.registry.manager import Registry


class Soft(Method):
    """A task and a distilling term, weighted."""

    name = "soft"
    terms = {"ce": "task", "kd": "distill"}
    mixed_labels = "mix"
    weight: float = 0.5

    def build(self, context: Any) -> None:
        self.draws = context.generator("noise")

    def losses(self, batch: Any, student: Any, teacher: Any) -> dict[str, Tensor]:
        assert teacher == "teacher"
        return {"ce": torch.tensor(self.weight), "kd": torch.tensor(10 * self.weight)}

    def measurements(self) -> Mapping[str, float]:
        return {"seen": 1.0}


class Near(Soft):
    """Says nothing of its terms; reads a stage and two views."""

    name = "near"
    terms: Mapping[str, str] = {}
    mixed_labels = "larger"
    reads = Reads(taps=("stages",), views=("recipe", View("autoaugment", teacher=False)), indices=True)


class Alone(Soft):
    """Reads no teacher."""

    name = "alone"
    reads = Reads(teachers="none", taps=("embedding",))

    def losses(self, batch: Any, student: Any, teacher: Any) -> dict[str, Tensor]:
        assert teacher is None
        return {"own": torch.tensor(7.0)}


def whole(*parts: type[Method[Any]]) -> type[Combination]:
    return type("Whole", (Combination,), {"name": "whole", "specs": {p.name: MethodSpec.of(p) for p in parts}})


def test_task_terms_are_the_first_parts_and_all_distil() -> None:
    method = whole(Soft, Near)(**{"soft.weight": 2.0, "near.weight": 3.0})
    losses = {name: value.item() for name, value in method.losses(None, None, "teacher").items()}  # type: ignore[arg-type]
    assert losses == {"ce": 2.0, "soft.kd": 20.0, "near.kd": 30.0}
    assert method.terms == {}  # one part declares none
    assert whole(Near, Soft)().losses(None, None, "teacher")["ce"].item() == 0.5  # type: ignore[arg-type]


def test_terms_are_declared_where_all_parts_declare_theirs() -> None:
    class Hard(Soft):
        name = "hard"
        terms = {"label": "task", "hint": "distill"}

    assert whole(Hard, Soft)().terms == {"label": "task", "hard.hint": "distill", "soft.kd": "distill"}


def test_what_any_part_reads_is_read() -> None:
    reads = whole(Soft, Near, Alone)().reads
    assert reads.teachers == "one"
    assert set(reads.taps) == {"stages", "embedding"}
    assert reads.teacher_taps == ("stages",)  # the part without a teacher asks nothing of it
    assert [view.name for view in reads.declared_views] == ["recipe", "autoaugment"]
    assert reads.indices


def test_a_part_without_a_teacher_is_given_none() -> None:
    losses = whole(Soft, Alone)().losses(None, None, "teacher")  # type: ignore[arg-type]
    assert losses["alone.own"].item() == 7.0


def test_the_strictest_part_says_what_mixed_labels_are() -> None:
    assert whole(Soft, Near)().mixed_labels == "larger"
    assert whole(Soft, Soft2)().mixed_labels == "refuse"


class Soft2(Soft):
    name = "soft2"
    mixed_labels = "refuse"


def test_each_part_draws_from_generators_of_its_own() -> None:
    asked: list[str] = []

    def make(name: str, device: bool) -> torch.Generator:
        asked.append(name)
        return torch.Generator()

    from kdharness.api.method import BuildContext

    context = BuildContext(
        2, (1, 1, 1), None, (), None, (), torch.zeros(0), {}, 1, 1, torch.device("cpu"), make, lambda n, r: None,
    )  # type: ignore[arg-type]  # fmt: skip
    whole(Soft, Soft2)().build(context)
    assert asked == ["soft.noise", "soft2.noise"]


def test_measurements_say_whose_they_are() -> None:
    assert whole(Soft, Soft2)().measurements() == {"soft_seen": 1.0, "soft2_seen": 1.0}


def test_parts_are_modules_of_it_and_refused_ones_raise() -> None:
    class Layered(Soft):
        name = "layered"

        def __init__(self, **parameters: Any) -> None:
            super().__init__(**parameters)
            self.layer = torch.nn.Linear(1, 1)

    assert list(whole(Soft, Layered)().state_dict()) == ["parts.1.layer.weight", "parts.1.layer.bias"]
    with pytest.raises(ValueError, match="'phased' cannot be combined with others: it has phases of its own"):
        whole(Soft, Phased)()


# -- what cannot be joined ---------------------------------------------------------------------------------------------


class Phased(Soft):
    name = "phased"

    def phases(self) -> Sequence[Phase]:
        return [Phase(fraction=0.5), Phase("second", fraction=0.5)]


class Usual(Soft):
    name = "usual"

    def phases(self) -> Sequence[Phase]:
        return [Phase()]


class Updates(Soft):
    name = "updates"

    def update(self, step: Any) -> None: ...


class Predicts(Soft):
    name = "predicts"

    def predictor(self, student: Any, teachers: Any) -> Any: ...


class Transforms(Soft):
    name = "transforms"

    def transform(self, batch: Any, generator: Any) -> Any: ...


class Plays(Soft):
    name = "plays"
    terms = {"d": "player"}


class TaskAlone(Soft):
    name = "task_alone"
    terms = {"ce": "task"}


class Many(Soft):
    name = "many"
    reads = Reads(teachers="many")


class Regimes(Soft):
    name = "regimes"
    regime = "no_teacher"


class OtherRegime(Soft):
    name = "other_regime"
    regime = "private_data"


class OtherViews(Soft):
    name = "other_views"
    reads = Reads(views=("autoaugment",))


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((Soft, Phased), "'phased' cannot be combined with others: it has phases of its own"),
        ((Soft, Updates), "'updates' cannot be combined with others: it has an update of its own"),
        ((Predicts, Soft), "'predicts' cannot be combined with others: it has a predictor of its own"),
        ((Soft, Transforms), "'transforms' cannot be combined with others: it has a transform of the batch of its own"),
        ((Soft, Plays), "'plays' cannot be combined with others: it has terms of players"),
        ((Soft, TaskAlone), "'task_alone' cannot be combined with others: it adds no term to the first"),
        ((TaskAlone, Soft), ""),
        ((Soft, Usual), ""),
        ((Soft, Many), "one part reads one teacher, another reads many"),
        ((Regimes, Soft), ""),
        ((Regimes, OtherRegime), "its parts are of different regimes (no_teacher, private_data)"),
        ((Soft, OtherViews), "its parts read different views of the images"),
        ((OtherViews, Near), "its parts read different views of the images"),
    ],
)
def test_faults(parts: tuple[type[Method[Any]], ...], says: str) -> None:
    assert fault_of({part.name: part() for part in parts}) == says


def test_parts_must_be_taught_by_the_same_cells() -> None:
    class Chained(Soft):
        name = "chained"

        def requires(self, pair: Pair) -> Sequence[Requirement]:
            return [Requirement(pair.student, method="kd")]

    pair = Pair(("big",), "small")
    assert whole(Soft, Alone)().requires(pair) == [Requirement("big")]
    assert whole(Alone, Alone2)().requires(pair) == []
    with pytest.raises(ValueError, match="'soft' and 'chained' are not taught by the same cells"):
        whole(Soft, Chained)().requires(pair)


class Alone2(Alone):
    name = "alone2"


def test_reads_of_equal_taps_say_nothing_of_teachers() -> None:
    assert joined_reads([Reads(taps=("stages",)), Reads()]) == Reads(taps=("stages",))


# -- by name -----------------------------------------------------------------------------------------------------------


def test_the_registry_makes_it_of_what_is_installed(registry: Registry) -> None:
    found = registry.get("method", "kdharness/at+kd")
    assert found is registry.get("method", "at + kd")
    assert {"at.weight", "kd.temperature"} <= {p.name for p in found.spec.parameters}
    assert registry.stamp(found) == {name: registry.stamp(registry.get("method", name)) for name in ("at", "kd")}
    assert "at+kd" not in registry.methods


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("kd+kd", "method 'kd+kd' (--methods) names one of its parts twice"),
        ("kd+dkdd", "unknown method 'dkdd' (--methods); did you mean 'dkd'"),
        ("kd+meal", "method 'kd+meal' (--methods): 'meal' cannot be combined with others: it has an update of its own"),
        ("kd+", "method 'kd+' (--methods): a name is missing beside '+'"),
    ],
)
def test_names_that_make_no_method(registry: Registry, name: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        registry.get("method", name, "--methods")
    assert str(error.value).startswith(says)
