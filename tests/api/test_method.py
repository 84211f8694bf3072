"""What a method declares, by attribute or by property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, Outputs, Reads


class Fixed(Method):
    """Declares by attributes."""

    name = "fixed"
    reads = Reads(taps=("stages",))
    terms = {"kd": "distill"}
    private_teacher = True
    weight: float = 0.5


class Switched(Method[Sequence[Outputs]]):
    """Declares by its parameters."""

    name = "switched"
    indices: bool = False

    @property
    def reads(self) -> Reads:
        return Reads(teachers="many", indices=self.indices)

    @property
    def terms(self) -> Mapping[str, str]:
        return {"memory": "task"} if self.indices else {}

    def losses(self, batch: Batch, student: Outputs, teacher: Sequence[Outputs]) -> dict[str, Tensor]:
        return {"ce": student.logits.mean()}


def test_nothing_is_declared_by_default() -> None:
    method = Method()
    assert (method.reads, dict(method.terms), method.private_teacher) == (Reads(), {}, False)


def test_declared_by_attributes() -> None:
    method = Fixed()
    assert (method.reads.taps, method.terms, method.private_teacher) == (("stages",), {"kd": "distill"}, True)


@pytest.mark.parametrize(("indices", "terms"), [(True, {"memory": "task"}), (False, {})])
def test_declared_by_properties(indices: bool, terms: Mapping[str, str]) -> None:
    method = Switched(indices=indices)
    assert (method.reads.teachers, method.reads.indices, method.terms) == ("many", indices, terms)


@pytest.mark.parametrize(("method", "parameters"), [(Fixed, ["weight"]), (Switched, ["indices"])])
def test_what_is_declared_is_no_parameter(method: type[Method[object]], parameters: list[str]) -> None:
    assert [parameter.name for parameter in MethodSpec.of(method).parameters] == parameters
