"""The pure functions of methods against numbers of public implementations, in float64: values, losses, gradients.

`tests/vectors/more/index.json` says how each is called. A name with `*` is a list, stored as `name.0`, `name.1`, ...;
gradients are with respect to what is the student's, and to inputs where none may flow or another is trained.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kdharness_plugins.methods
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

VECTORS = Path(__file__).parents[2] / "vectors" / "more"
INDEX: dict[str, dict[str, Any]] = json.loads((VECTORS / "index.json").read_text())


def functions() -> dict[str, Callable[..., Any]]:
    package = kdharness_plugins.methods
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}") for found in pkgutil.iter_modules(package.__path__)
    ]
    return {name: value for module in modules for name, value in inspect.getmembers(module, inspect.isfunction)}


FUNCTIONS = functions()


def inputs_of(arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, Tensor]:
    inputs = {key.removeprefix("in."): torch.from_numpy(arrays[key]) for key in arrays if key.startswith("in.")}
    graded = {key.partition("grad.")[2] for key in arrays if "grad." in key}
    for key, tensor in inputs.items():
        tensor.requires_grad_(tensor.is_floating_point() and (key.startswith("student") or key in graded))
    return inputs


def argument(name: str, inputs: Mapping[str, Tensor]) -> Tensor | list[Tensor]:
    if not name.endswith("*"):
        return inputs[name]
    stem = name.removesuffix("*") + "."
    places = sorted(int(key.removeprefix(stem)) for key in inputs if key.startswith(stem))
    return [inputs[f"{stem}{place}"] for place in places]


def close(found: Tensor, expected: NDArray[np.float64], what: str) -> None:
    assert found.numel() == expected.size, what
    error = np.linalg.norm(found.detach().double().numpy().ravel() - expected.ravel())
    assert error <= 1e-9 * max(np.linalg.norm(expected), 1e-12), what


@pytest.mark.parametrize("name", [name for name, entry in INDEX.items() if entry["function"] in FUNCTIONS])
def test_vector(name: str) -> None:
    entry = INDEX[name]
    with np.load(VECTORS / f"{name}.npz") as archive:
        arrays = dict(archive)
    inputs = inputs_of(arrays)
    arguments = [argument(key, inputs) for key in entry["arguments"]]
    result = FUNCTIONS[entry["function"]](*arguments, **entry["constants"])
    if values := sorted(key for key in arrays if key.startswith("out.value")):
        results = result if isinstance(result, (tuple, list)) else (result,)
        for found, key in zip(results, values, strict=True):
            close(found, arrays[key], key)
        return
    result.sum().backward()
    close(result, arrays["out.loss"], "loss")
    for key in (key for key in arrays if "grad." in key):
        gradient = inputs[key.partition("grad.")[2]].grad
        close(torch.zeros(arrays[key].shape) if gradient is None else gradient, arrays[key], key)
