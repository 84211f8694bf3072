"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from kdharness.protocol.benchmark import load
from kdharness.registry.manager import Registry
from kdharness.report.leaderboard import write_tables
from kdharness.testing import Lab

# A benchmark that is trained in seconds, and has all that a folder may hold.
SMALL = """
name = "small"
datasets = ["digits"]
pairs = ["conv32:conv16"]
scenarios = ["few100"]
seeds = "0-1"
[recipe]
epochs = 10
batch_size = 50
lr = 0.1
[teacher]
epochs = 1
"""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is loaded and collected stays to the end: Python's collector need not go through it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """Shells let what they start in the background ignore Ctrl-C, and runs that tests interrupt would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture
def make_lab(tmp_path: Path, registry: Registry) -> Callable[..., Lab]:
    """Makes labs. Those without plugin files of their own have one registry, which loads and plans once."""

    def make(name: str = "lab", **rest: object) -> Lab:
        given = rest if rest.get("plugin_files") or rest.get("given") else {**rest, "given": registry}
        return Lab(tmp_path / name, **given)  # type: ignore[arg-type]

    return make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with tables, trained once; nobody writes to it."""
    root = tmp_path_factory.mktemp("finished")
    (root / "small.toml").write_text(SMALL)
    lab = Lab(root / "small")
    plan = lab.plan(load(str(root / "small.toml")), epochs=None, seeds=None, methods=("vanilla", "kd", "byot"))
    lab.folder.plans.write(plan)
    lab.train_plan(plan)
    write_tables(lab.folder.load())
    return lab.path


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "small"))
