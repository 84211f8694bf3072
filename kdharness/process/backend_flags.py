"""Switches of torch's backends, which all cells of a process share: read and put back one by one."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

import torch
from torch import backends

from kdharness.process.global_hooks import GLOBAL_HOOKS, Setting

_ATTRIBUTES: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (backends.cudnn, "cudnn", ("enabled", "allow_tf32")),
    (backends.mkldnn, "mkldnn", ("enabled", "deterministic", "allow_tf32")),
    (
        backends.cuda.matmul,
        "cuda.matmul",
        ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction", "allow_fp16_accumulation"),
    ),
    (backends.opt_einsum, "opt_einsum", ("enabled", "strategy")),
)
_ATTENTION = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")
_AUTOCAST_DEVICES = ("cpu", "cuda")


def _hear_warnings() -> None:
    """Torch 2.9 warns of the older of these, the first time that a process reads one: no user has done that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for owner, _, names in _ATTRIBUTES:
            for name in names:
                with suppress(AttributeError, RuntimeError):
                    getattr(owner, name)


_hear_warnings()


def _attribute(owner: Any, where: str, name: str) -> Setting:
    def read() -> Any:
        try:
            return getattr(owner, name)
        except RuntimeError:  # what was set for all backends goes against what was set for one
            return "mixed"

    def put(value: Any) -> None:
        with suppress(RuntimeError):
            setattr(owner, name, value)

    return f"torch.backends.{where}.{name}", read, put


def _attention(name: str) -> Setting:
    read, put = getattr(backends.cuda, f"{name}_enabled"), getattr(backends.cuda, f"enable_{name}")
    return f"torch.backends.cuda.enable_{name}", read, put


def _autocast(device: str) -> Setting:
    def put(found: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(device, found[0])
        torch.set_autocast_dtype(device, found[1])

    def read() -> tuple[bool, torch.dtype]:
        return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    return f"autocast on {device}", read, put


def _nesting() -> tuple[int, bool]:
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting(), torch.is_autocast_cache_enabled()


def _put_nesting(found: tuple[int, bool]) -> None:
    """Leaves blocks of autocast that nobody left: what they remember of weights would never be forgotten."""
    while _nesting()[0] > found[0]:
        torch.autocast_decrement_nesting()
    while _nesting()[0] < found[0]:
        torch.autocast_increment_nesting()
    torch.set_autocast_cache_enabled(found[1])
    torch.clear_autocast_cache()


# A mode ends with the object that began it.
_modes: list[torch.inference_mode] = []


def _put_inference(mode: bool) -> None:
    _modes.append(torch.inference_mode(mode))
    _modes[-1].__enter__()


FLAGS: tuple[Setting, ...] = (
    *(_attribute(owner, where, name) for owner, where, names in _ATTRIBUTES for name in names if hasattr(owner, name)),
    *(_attention(name) for name in _ATTENTION if hasattr(backends.cuda, f"{name}_enabled")),
    *(_autocast(device) for device in _AUTOCAST_DEVICES),
    ("how deep torch stands in autocast", _nesting, _put_nesting),
    (
        "whether torch looks for anomalies",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda found: torch.autograd.set_detect_anomaly(*found),
    ),
    (
        "torch's inference mode",
        torch.is_inference_mode_enabled,
        _put_inference,
    ),
    *GLOBAL_HOOKS,
)
