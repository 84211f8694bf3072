"""What a run of a network keeps: stem, maps and tokens, single modules, and outputs by name."""

from __future__ import annotations

import copy
import pickle
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdharness.api import ModelSpec, Outputs, StagedModel, Tokens
from kdharness.api.declarations import Reads, Wanted
from kdharness.api.named import Named
from kdharness.api.shapes import shape_of

SHAPE = (3, 8, 12)


class Patches(nn.Module):
    """Patches of 4x4 as tokens behind two that are learned: [N, 2 + 6, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 5, 4, stride=4)
        self.first = nn.Parameter(torch.randn(1, 2, 5))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.cut(x).flatten(2).transpose(1, 2)
        return torch.cat([self.first.expand(len(x), -1, -1), tokens], dim=1)


class TokenNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = Patches()
        self.deep = nn.Linear(5, 5)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.deep(self.patches(x))[:, 0])
        return logits


def token_model(tokens: Tokens | None) -> StagedModel:
    torch.manual_seed(0)
    spec = ModelSpec(
        "tokens",
        lambda c, s: TokenNet(),
        stages=("patches", "deep"),
        stem="patches.cut",
        classifier="fc",
        tokens=tokens,
    )
    return StagedModel(TokenNet(), spec, SHAPE)


IMAGES = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
PREFIXED = Tokens(prefix=2)


def test_tokens_become_maps_row_by_row() -> None:
    model = token_model(PREFIXED)
    outputs = model.run(IMAGES, ("stem", "stages", "tokens"))
    assert outputs.tokens(0).shape == (3, 8, 5)
    torch.testing.assert_close(model.run(IMAGES, ("stages",)).tokens(0), outputs.tokens(0), rtol=0, atol=0)
    assert outputs.stem.shape == outputs.maps(0).shape == (3, 5, 2, 3)
    torch.testing.assert_close(outputs.maps(0), outputs.stem, rtol=0, atol=0)  # the patches before they were tokens
    assert [stage.shape for stage in outputs.stages] == [(3, 5, 2, 3)] * 2
    torch.testing.assert_close(model.trunk(0, IMAGES), outputs.stem, rtol=0, atol=0)


def test_a_grid_may_be_declared() -> None:
    assert token_model(Tokens(prefix=2, grid=(3, 2))).run(IMAGES, ("stages",)).maps(-1).shape == (3, 5, 3, 2)


@pytest.mark.parametrize(("prefix", "grid"), [(1, "image"), (2, (4, 2))])
def test_tokens_that_fill_no_grid_are_an_error(prefix: int, grid: Any) -> None:
    outputs = token_model(Tokens(prefix, grid)).run(IMAGES, ("stages",))
    with pytest.raises(ValueError, match=r"model .tokens. has \d tokens behind their prefix, no grid of"):
        _ = outputs.stages


def test_shapes_of_tokens() -> None:
    shape = shape_of(token_model(PREFIXED), ("patches.cut",))
    assert (shape.stem, shape.stages, shape.tokens) == ((5, 2, 3), ((5, 2, 3),) * 2, ((8, 5),) * 2)
    assert shape.modules == {"patches.cut": (5, 2, 3)}
    shape = shape_of(token_model(Tokens(2, None)))
    assert (shape.stages, shape.tokens, shape.modules) == ((), ((8, 5),) * 2, {})


@pytest.mark.parametrize(
    ("tokens", "wanted", "reason"),
    [
        (PREFIXED, Wanted(("stages", "tokens", "stem")), None),
        (Tokens(2, None), Wanted(("tokens",)), None),
        (Tokens(2, None), Wanted(("stages",)), "reads stages as maps, and the tokens of model 'tokens' have no grid"),
        (None, Wanted(("tokens",)), "reads tokens, which model 'tokens' does not declare"),
        (None, Wanted(("stages", "pre_activations")), "reads pre_activations, which model 'tokens' does not declare"),
        (None, Wanted((), ("patches.cut",)), None),
        (
            None,
            Wanted((), ("fc", "patches.cot")),
            "reads module 'patches.cot', which model 'tokens' has not; did you mean 'patches.cut'?",
        ),
    ],
)
def test_what_a_network_cannot_give(tokens: Tokens | None, wanted: Wanted, reason: str | None) -> None:
    assert token_model(tokens).cannot_give(wanted) == reason


def test_any_module_can_be_read() -> None:
    model = token_model(PREFIXED)
    outputs = model.run(IMAGES, (), ("patches.cut", "fc"))
    torch.testing.assert_close(outputs.module("fc"), outputs.logits, rtol=0, atol=0)
    torch.testing.assert_close(outputs.module("patches.cut"), model.network.patches.cut(IMAGES), rtol=0, atol=0)
    assert len(outputs.tensors()) == 3
    with pytest.raises(AttributeError, match="module 'deep' was not declared: add it to modules or teacher_modules"):
        outputs.module("deep")
    assert not any(m._forward_hooks for m in model.modules())


def test_of_several_values_a_module_gives_the_first() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(5, 1, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tokens: Tensor = self.attention(x, x, x)[0]
            return tokens.mean(1)

    model = StagedModel(Attending(), ModelSpec("attending", lambda c, s: Attending()), (1, 1, 1))
    outputs = model.run(torch.randn(2, 3, 5), (), ("attention",))
    torch.testing.assert_close(outputs.module("attention").mean(1), outputs.logits)


def test_what_either_wants() -> None:
    both = Reads(taps=("stem",), modules=("a",)).of_student | Wanted(("stages", "stem"), ("b", "a"))
    assert both == Wanted(("stem", "stages"), ("a", "b"))
    reads = Reads(modules=("a",), teacher_modules=("b",))
    assert (reads.of_student.modules, reads.of_teachers.modules) == (("a",), ("b",))


# -- outputs by name ---------------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", ["logits", "extra"])


class Returning(nn.Module):
    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(x.flatten(1)[:, :4])


def returning(make: Callable[[Tensor], Any], logits: str = "logits") -> StagedModel:
    return StagedModel(Returning(make), ModelSpec("several", lambda c, s: Returning(make), logits=logits), SHAPE)


@pytest.mark.parametrize(
    ("make", "logits"),
    [
        (lambda x: {"logits": x, "extra": x.half() + 1, "nothing": None}, "logits"),
        (lambda x: Pair(x, x + 1), "logits"),
        (lambda x: {"class": x, "extra": x + 1}, "class"),
    ],
)
def test_outputs_by_name(make: Callable[[Tensor], Any], logits: str) -> None:
    model = returning(make, logits)
    outputs = model.run(IMAGES)
    assert list(outputs.named) == ["extra"]
    assert outputs.named["extra"].dtype is torch.float32
    torch.testing.assert_close(outputs.named["extra"], outputs.logits + 1, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(model(IMAGES), outputs.logits, rtol=0, atol=0)
    assert len(outputs.tensors()) == 2
    assert shape_of(model).named == ("extra",)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda x: (x, x), "model 'several' returns a tuple, not logits or outputs by name"),
        (lambda x: {"main": x}, r"model 'several' returns no 'logits' \(it returns main\)"),
    ],
)
def test_outputs_without_the_logits(make: Callable[[Tensor], Any], fault: str) -> None:
    with pytest.raises((TypeError, ValueError), match=fault):
        returning(make).run(IMAGES)


def test_teachers_may_be_read_otherwise() -> None:
    assert Reads(taps=("stages",)).of_teachers.taps == ("stages",)
    reads = Reads(taps=("tokens",), teacher_taps=("stages", "stem"))
    assert (reads.of_student.taps, reads.of_teachers.taps) == (("tokens",), ("stages", "stem"))
    assert Reads(taps=("tokens",), teacher_taps=()).of_teachers.taps == ()


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"taps": ("token",)}, "reads: taps has 'token', which is none of stem, .*; did you mean 'tokens'?"),
        ({"taps": "stages"}, "reads: taps is a tuple of names, got 'stages'"),
        ({"teacher_taps": ("stage",)}, "reads: teacher_taps has 'stage', .*; did you mean 'stages'?"),
        ({"teachers": "all"}, "reads: teachers has 'all', which is none of none, one, many"),
        ({"partners": "same class"}, "reads: partners has 'same class', .*; did you mean 'same_class'?"),
    ],
)
def test_words_that_reads_does_not_know(declared: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("?", r"\?")):
        Reads(**declared)


def test_outputs_and_stages_that_there_are_not() -> None:
    stages = [torch.zeros(2, 3, 4, 4)] * 3
    logits = torch.zeros(2, 5)
    outputs = Outputs(None, logits, {"stages": stages, "tokens": stages}, {"distillation": logits})  # type: ignore[arg-type]
    with pytest.raises(KeyError) as caught:
        outputs.named["distilation"]
    assert str(caught.value) == (
        "beside its logits, the network has no output 'distilation'; did you mean 'distillation'?"
    )
    with pytest.raises(KeyError) as caught:
        Outputs(None, logits, {}).named["distillation"]  # type: ignore[arg-type]
    assert str(caught.value) == "beside its logits, the network has no output 'distillation'; there is none"
    for read in (outputs.maps, outputs.tokens):
        assert read(-1).shape == (2, 3, 4, 4)
        with pytest.raises(IndexError, match="there is no stage 9: the network has 3, 0 to 2"):
            read(9)


def test_what_is_found_by_name_can_be_copied_and_sent() -> None:
    named = Named({"main": 1}, "there is no output")
    for other in (copy.deepcopy(named), pickle.loads(pickle.dumps(named))):
        assert other == {"main": 1}
        with pytest.raises(KeyError, match="there is no output 'man'; did you mean 'main'"):
            other["man"]


@pytest.mark.parametrize("field", ["pre_activations", "norms"])
def test_a_path_for_each_stage(field: str) -> None:
    def factory(classes: int, shape: tuple[int, int, int]) -> nn.Module:
        return nn.Identity()

    ModelSpec("net", factory, stages=("a", "b"), **{field: ("c", "d")})
    ModelSpec("net", factory, stages=("a", "b"))
    with pytest.raises(ValueError, match=f"model 'net': {field} has 1 paths for 2 stages, and not one of each"):
        ModelSpec("net", factory, stages=("a", "b"), **{field: ("c",)})


@pytest.mark.parametrize("name", ["taps", "modules", "teacher_modules", "teacher_taps", "views"])
def test_a_text_is_no_tuple_of_names(name: str) -> None:
    with pytest.raises(ValueError, match=rf"reads: {name} is a tuple of names, got 'stem'; for one name: \('stem',\)"):
        Reads(**{name: "stem"})
