"""What a PyTorch file may hold beside tensors: values that training scripts write down, of types that do nothing."""

from __future__ import annotations

import argparse
import datetime
import pathlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

# As torch.serialization.safe_globals takes them: a type, or one under the name that older releases wrote.
Allowed = Callable[..., Any] | tuple[Callable[..., Any], str]

# NumPy 1 has the module under the other name.
_MULTIARRAY = (np._core if hasattr(np, "_core") else np.core).multiarray
_SCALAR = _MULTIARRAY.scalar
_RECONSTRUCT = _MULTIARRAY._reconstruct


def _plain_dict(*of_the_default: object) -> OrderedDict[Any, Any]:
    """In place of a defaultdict, which torch does not fill."""
    return OrderedDict()


# Configurations of scripts: what libraries call theirs.
_CONFIGURATIONS = (
    "yacs.config.CfgNode", "fvcore.common.config.CfgNode", "detectron2.config.config.CfgNode", "easydict.EasyDict",
    "addict.addict.Dict", "addict.Dict", "mmcv.utils.config.ConfigDict", "mmengine.config.config.ConfigDict",
    "munch.Munch", "types.SimpleNamespace", "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "omegaconf.base.SCMode",
    "omegaconf.nodes.AnyNode", "omegaconf.nodes.IntegerNode", "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.StringNode", "omegaconf.nodes.BooleanNode",
)  # fmt: skip


class _Configuration:
    """In place of somebody's configuration, which says nothing of weights: its items, in a mapping that torch fills."""

    def __new__(cls, *of_the_class: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


def allowed() -> list[Allowed]:
    """Options and configurations of a script, paths, moments, NumPy's numbers and arrays."""
    plain: list[Allowed] = [
        argparse.Namespace,
        (_plain_dict, "collections.defaultdict"),
        dict,
        list,
        set,
        frozenset,
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
    plain += [datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone]
    plain += [(_Configuration, name) for name in (*_CONFIGURATIONS, "typing.Any")]
    numbers: list[Allowed] = [np.dtype, np.ndarray]
    for name in ("numpy.core", "numpy._core"):
        numbers += [(_SCALAR, f"{name}.multiarray.scalar"), (_RECONSTRUCT, f"{name}.multiarray._reconstruct")]
    kinds = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    return [*plain, *numbers, *kinds]
