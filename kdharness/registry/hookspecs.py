"""The hooks that a plugin may implement: a contract with plugin authors, documented in plugins/README.md.

A hook, or an argument of one, that will go says so for two releases: `@hookspec(warn_on_impl=…)`,
`warn_on_impl_args=…`. Each plugin that has it gets one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from kdharness.api.declarations import ModelSpec
from kdharness.api.events import CellInfo, RunInfo
from kdharness.api.leaderboard import LeaderboardColumn
from kdharness.api.specs import DatasetSpec, ExecutorSpec, LoggerSpec, MethodSpec, MetricSpec, OptimizerSpec, ViewSpec

hookspec = pluggy.HookspecMarker("kdharness")


@hookspec
def kdharness_methods() -> Iterable[MethodSpec]:  # type: ignore[empty-body]
    """The distillation methods that this plugin adds."""


@hookspec
def kdharness_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """The networks that this plugin adds."""


@hookspec
def kdharness_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """The datasets that this plugin adds."""


@hookspec
def kdharness_views() -> Iterable[ViewSpec]:  # type: ignore[empty-body]
    """The views that this plugin adds: random pictures of the images of a batch."""


@hookspec
def kdharness_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """The metrics that this plugin adds."""


@hookspec
def kdharness_optimizers() -> Iterable[OptimizerSpec]:  # type: ignore[empty-body]
    """The optimisers that this plugin adds."""


@hookspec
def kdharness_leaderboard_columns() -> Iterable[LeaderboardColumn]:  # type: ignore[empty-body]
    """The columns that this plugin adds to leaderboards."""


@hookspec
def kdharness_executors() -> Iterable[ExecutorSpec]:  # type: ignore[empty-body]
    """The executors that this plugin adds: places where groups of cells run."""


@hookspec
def kdharness_loggers() -> Iterable[LoggerSpec]:  # type: ignore[empty-body]
    """The loggers that this plugin adds: they hear of events where `--log` names them."""


@hookspec
def kdharness_run_started(run: RunInfo) -> None:
    """A run begins, before its first cell."""


@hookspec
def kdharness_cell_started(cell: CellInfo) -> None:
    """A cell begins to train, or goes on from its checkpoint."""


@hookspec
def kdharness_epoch_finished(cell: CellInfo, epoch: int, values: Mapping[str, float]) -> None:
    """A cell finished an epoch, counted from 1 over its whole training.

    values: the mean of each loss term, and the method's curves; nothing of a cell that saw a scenario's private images.
    """


@hookspec
def kdharness_cell_finished(record: Mapping[str, Any]) -> None:
    """A cell ended, whatever became of it. record: its columns of results.csv, by name; `status` says how it ended."""


@hookspec
def kdharness_run_finished(counts: Mapping[str, int]) -> None:
    """A run ended, done or interrupted or by an error. counts: its cells by `status`, as far as it is known."""
