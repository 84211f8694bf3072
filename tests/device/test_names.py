"""What a scheduler and a parent process know of devices by their names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kdharness.device.names import child_environment, is_cpu, max_group, slots
from kdharness.errors import UserError


def test_an_accelerator_takes_larger_groups() -> None:
    assert max_group(["cpu", "cpu"]) == 12
    assert max_group(["cuda:0"]) == max_group(["cuda:0", "cuda:1"]) == 24


@pytest.mark.parametrize(("name", "cpu"), [("cpu", True), ("cuda", False), ("cuda:0", False)])
def test_the_cpu_by_name(name: str, cpu: bool) -> None:
    assert is_cpu(name) is cpu


def test_a_child_reads_its_devices_variables() -> None:
    assert child_environment("cpu") == {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    assert child_environment("cuda:1") == {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def have(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return have


@pytest.mark.parametrize(
    ("option", "workers", "names"),
    [
        ("cuda", None, ("cuda:0", "cuda:1", "cuda:2")),
        ("auto", None, ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda:2,0", None, ("cuda:2", "cuda:0")),
        ("cuda:1", 2, ("cuda:1", "cuda:1")),
        ("cuda:0,1", 2, ("cuda:0", "cuda:1", "cuda:0", "cuda:1")),
        ("cpu", 2, ("cpu", "cpu")),
    ],
)
def test_a_worker_for_each_device(
    gpus: Callable[[int], None], option: str, workers: int | None, names: tuple[str, ...]
) -> None:
    gpus(3)
    assert slots(option, workers) == names


@pytest.mark.parametrize("option", ["cuda:3", "cuda:x", "cuda:0,3", "cpu:0", "tpu"])
def test_a_device_that_is_not_there(gpus: Callable[[int], None], option: str) -> None:
    gpus(3)
    with pytest.raises(UserError, match=f"--device {option}"):
        slots(option, None)


def test_without_a_gpu_auto_is_the_cpu(gpus: Callable[[int], None]) -> None:
    gpus(0)
    assert set(slots("auto", 2)) == {"cpu"}
    assert slots("auto", 5, in_process=True) == ("cpu",)
    with pytest.raises(UserError, match="torch finds no CUDA device here"):
        slots("cuda", None)
