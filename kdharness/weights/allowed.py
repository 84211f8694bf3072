"""What a PyTorch file may hold beside tensors: values that training scripts write down, of types that do nothing."""

from __future__ import annotations

import argparse
import pathlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

# As torch.serialization.safe_globals takes them: a type, or one under the name that older releases wrote.
Allowed = Callable[..., Any] | tuple[Callable[..., Any], str]

_SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
_RECONSTRUCT = np._core.multiarray._reconstruct  # type: ignore[attr-defined]


def _plain_dict(*of_the_default: object) -> OrderedDict[Any, Any]:
    """In place of a defaultdict, which torch does not fill."""
    return OrderedDict()


def allowed() -> list[Allowed]:
    """Options of a script, paths, NumPy's numbers and arrays."""
    plain: list[Allowed] = [
        argparse.Namespace,
        (_plain_dict, "collections.defaultdict"),
        dict,
        list,
        set,
        tuple,
        int,
        float,
        str,
        bool,
    ]
    plain += [pathlib.PurePosixPath, pathlib.PureWindowsPath]
    # Of the other system's paths none can be made here: all are read as pure ones.
    plain += [(pathlib.PurePosixPath, f"pathlib{part}.PosixPath") for part in ("", "._local")]
    plain += [(pathlib.PureWindowsPath, f"pathlib{part}.WindowsPath") for part in ("", "._local")]
    numbers: list[Allowed] = [np.dtype, np.ndarray]
    for name in ("numpy.core", "numpy._core"):
        numbers += [(_SCALAR, f"{name}.multiarray.scalar"), (_RECONSTRUCT, f"{name}.multiarray._reconstruct")]
    kinds = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    return [*plain, *numbers, *kinds]
