"""Devices by name: what a command line, a parent process and a scheduler ask, without loading torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from kdharness.errors import UserError

OPTION_HELP: Final = "auto, cpu, cuda or cuda:0,1."
WORKERS_HELP: Final = (
    "Worker processes: in all on a CPU, by default one per core; on GPUs for each of them, by default one."
)

# How many cells train together at most. An accelerator needs more of them to be busy, and has the memory for it.
MAX_GROUP: Final = 12
MAX_GROUP_ACCELERATOR: Final = 24


def is_cpu(name: str) -> bool:
    """Whether a device's name ("cpu", "cuda:0") is the CPU's."""
    return name.partition(":")[0] == "cpu"


def max_group(names: Iterable[str]) -> int:
    """The most cells of a group that may run on any of these devices."""
    return MAX_GROUP if all(is_cpu(name) for name in names) else MAX_GROUP_ACCELERATOR


def child_environment(name: str) -> dict[str, str]:
    """Variables for a process that will use the device. Libraries read them when they are first loaded."""
    if is_cpu(name):
        return {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    # Without a workspace of fixed size, cuBLAS sums in an order that may differ from run to run.
    return {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def check_device(option: str) -> None:
    """UserError for what --device may not say on any machine."""
    kind, _, numbers = option.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (numbers and kind != "cuda"):
        raise UserError(f"--device {option}: not one of auto, cpu, cuda, cuda:0,1")


def slots(option: str, workers: int | None, in_process: bool = False) -> tuple[str, ...]:
    """The device of each worker. UserError for a device that is not there.

    option: what --device says; in_process: there is only one worker, this process.
    """
    check_device(option)
    import torch  # takes seconds, and only `run` needs it

    if option == "auto":
        option = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, numbers = option.partition(":")
    if kind == "cuda":
        names = _numbered(option, numbers, torch.cuda.device_count() if torch.cuda.is_available() else 0)
        return tuple(name for _ in range(workers or 1) for name in names)
    if in_process:
        return ("cpu",)
    return ("cpu",) * (workers or _cores())


def _cores() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _numbered(option: str, numbers: str, count: int) -> list[str]:
    """The names of the wanted ones of `count` GPUs, "" for all of them."""
    if not count:
        raise UserError(f"--device {option}: torch finds no CUDA device here; --device cpu works everywhere")
    wanted = [n.strip() for n in numbers.split(",")] if numbers else [str(n) for n in range(count)]
    for number in wanted:
        if not number.isdigit() or int(number) >= count:
            raise UserError(f"--device {option}: there is no CUDA device '{number}'; there are {count}, counted from 0")
    return [f"cuda:{number}" for number in wanted]
