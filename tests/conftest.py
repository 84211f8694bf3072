"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdharness.registry.manager import Registry
from kdharness.testing import Lab


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture
def make_lab(tmp_path: Path) -> Callable[..., Lab]:
    def make(name: str = "lab", **rest: object) -> Lab:
        return Lab(tmp_path / name, **rest)  # type: ignore[arg-type]

    return make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()
