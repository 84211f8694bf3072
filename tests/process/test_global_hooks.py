"""What torch runs around every call of a process is read, and put back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from kdharness.process.global_hooks import GLOBAL_HOOKS

HOOKS = "torch's hooks on all modules and optimisers"
kept: list[Any] = []


class Functions(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {})) * 0


def enter(context: Any) -> None:
    kept.append(context)
    context.__enter__()


def implement() -> None:
    library = torch.library.Library("aten", "IMPL")
    kept.append(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library.impl("relu", lambda x: x.clamp(min=0) * 0.1, "CPU")


CHANGES: dict[str, tuple[str, Callable[[], object]]] = {
    "forward": (HOOKS, lambda: modules.register_module_forward_hook(lambda *seen: None)),
    "forward_pre": (HOOKS, lambda: modules.register_module_forward_pre_hook(lambda *seen: None)),
    "backward": (HOOKS, lambda: modules.register_module_full_backward_hook(lambda *seen: None)),
    "backward_pre": (HOOKS, lambda: modules.register_module_full_backward_pre_hook(lambda *seen: None)),
    "parts": (HOOKS, lambda: modules.register_module_module_registration_hook(lambda *seen: None)),
    "step_pre": (HOOKS, lambda: register_optimizer_step_pre_hook(lambda *seen: None)),
    "step_post": (HOOKS, lambda: register_optimizer_step_post_hook(lambda *seen: None)),
    "functions": ("the modes that torch's functions are called in", lambda: enter(Functions())),
    "operators": ("the modes that torch's operators run in", lambda: enter(Operators())),
    "saved": (
        "what torch does to tensors that it saves for gradients",
        lambda: enter(torch.autograd.graph.saved_tensors_hooks(lambda x: x * 0.5, lambda x: x)),
    ),
    "flush": ("whether the smallest numbers are flushed to zero", lambda: torch.set_flush_denormal(True)),
    "relu": ("how torch's own operators are implemented", implement),
    "numpy": ("NumPy's way with floating-point errors", lambda: np.seterr(all="raise")),
}


@pytest.fixture(autouse=True)
def everything_is_as_before() -> Iterator[None]:
    before = [read() for _, read, _ in GLOBAL_HOOKS]
    yield
    assert [read() for _, read, _ in GLOBAL_HOOKS] == before
    kept.clear()


def numbers() -> tuple[float, ...]:
    """Of a layer, of its gradient, and the smallest."""
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 0.0)
    value = torch.relu(layer(torch.full((1, 1), 3.0))).square().sum()
    value.backward()
    assert layer.weight.grad is not None
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    return float(value.detach()), float(layer.weight.grad), float(tiny + tiny)


@pytest.mark.parametrize("kind", CHANGES)
def test_what_was_changed_is_named_and_put_back(kind: str) -> None:
    before = [read() for _, read, _ in GLOBAL_HOOKS]
    undisturbed = numbers()
    name, change = CHANGES[kind]
    change()
    changed = [(n, put, was) for (n, read, put), was in zip(GLOBAL_HOOKS, before, strict=True) if read() != was]
    assert [n for n, _, _ in changed] == [name]
    for _, put, was in changed:
        put(was)
    assert [read() for _, read, _ in GLOBAL_HOOKS] == before
    assert numbers() == undisturbed == (36.0, 36.0, 2e-310)


def test_what_torch_adds_to_itself_is_its_own_affair() -> None:
    """Its transforms of functions bring implementations when they are first used."""
    before = [read() for _, read, _ in GLOBAL_HOOKS]
    layer = nn.Linear(3, 1)
    torch.func.vmap(torch.func.grad(lambda x: layer(x).sum()))(torch.ones(4, 3))
    assert [read() for _, read, _ in GLOBAL_HOOKS] == before
    assert "aten/mse_loss_backward/FuncTorchBatched" in torch.library._impls


def test_a_default_device_is_no_mode() -> None:
    before = [read() for _, read, _ in GLOBAL_HOOKS]
    torch.set_default_device("meta")
    try:
        assert [read() for _, read, _ in GLOBAL_HOOKS] == before
        enter(Functions())
        (changed,) = [(put, was) for (_, read, put), was in zip(GLOBAL_HOOKS, before, strict=True) if read() != was]
        changed[0](changed[1])
        assert torch.empty(0).device.type == "meta"
    finally:
        torch.set_default_device(None)


def test_torchs_own_hooks_of_another_kind_may_come_after() -> None:
    """The first global hook on gradients says of which kind all later ones are."""
    _, read, put = next(setting for setting in GLOBAL_HOOKS if setting[0] == HOOKS)
    before = read()
    modules.register_module_full_backward_hook(lambda *seen: None)
    put(before)
    modules.register_module_backward_hook(lambda *seen: None).remove()
    modules._global_is_full_backward_hook = None
