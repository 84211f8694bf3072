"""What the processor can do, beyond what torch makes do with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

# Instructions that multiply bf16 numbers, as torch and Linux call them.
BF16 = ("avx512_bf16", "amx_bf16", "bf16")


def multiplies_bf16() -> bool:
    """Whether there are instructions for it. Without them it is made up from others, which takes several times as long
    as float32. True where nobody can tell.
    """
    fast: Callable[[], bool] | None = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if fast is not None and not fast():
        return False
    known = _capabilities()
    # A processor of another kind has other names for it; there mkldnn's word counts.
    return any(known.get(name, False) for name in BF16) if known.get("avx2") else True


def _capabilities() -> Mapping[str, Any]:
    """By name; {} where neither torch nor the system says."""
    ask: Callable[[], Mapping[str, Any]] | None = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        return ask()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return dict.fromkeys(flags, True)
