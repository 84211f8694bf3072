"""All that a plugin author imports. Executors' authors find what is theirs in `kdharness.api.executors`.

A name's module is loaded when the name is first used. So a plugin's hooks are registered, and `kdharness list plugins`
is answered, without torch.

A method plugin in full::

    import torch.nn.functional as F
    from kdharness.api import Method, MethodSpec, hookimpl

    class LogitMatching(Method):
        "Ba and Caruana 2014: match the teacher's logits."
        name = "logit_matching"
        weight: float = 0.5

        def losses(self, batch, student, teacher):
            return {
                "ce": batch.task_loss(student.logits),
                "l2": self.weight * F.mse_loss(student.logits, teacher.logits),
            }

    @hookimpl
    def kdharness_methods():
        return [MethodSpec.of(LogitMatching)]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdharness.api.content import content_warnings as content_warnings
    from kdharness.api.data import (
        Augmentation as Augmentation,
        DataRequest as DataRequest,
        DatasetInfo as DatasetInfo,
        DatasetMissing as DatasetMissing,
        ImageDataset as ImageDataset,
        Split as Split,
        content_identity as content_identity,
    )
    from kdharness.api.declarations import (
        MixedLabels as MixedLabels,
        ModelSpec as ModelSpec,
        Phase as Phase,
        Player as Player,
        Pretrained as Pretrained,
        Reads as Reads,
        Tokens as Tokens,
        View as View,
    )
    from kdharness.api.evaluation import (
        Evaluation as Evaluation,
        Inspection as Inspection,
        Observer as Observer,
        Predictions as Predictions,
    )
    from kdharness.api.events import CellInfo as CellInfo, RunInfo as RunInfo
    from kdharness.api.executors import (
        TRAIN_GROUP as TRAIN_GROUP,
        CellAborted as CellAborted,
        CellFinished as CellFinished,
        CellStarted as CellStarted,
        EpochFinished as EpochFinished,
        Executor as Executor,
        Job as Job,
        JobFinished as JobFinished,
        JobLost as JobLost,
        TeacherUse as TeacherUse,
        WorkerError as WorkerError,
        WorkerSettings as WorkerSettings,
        WorkerWarning as WorkerWarning,
    )
    from kdharness.api.functional import (
        eval_mode as eval_mode,
        log_mean_probability as log_mean_probability,
        matched_stages as matched_stages,
        reverse_gradient as reverse_gradient,
        run_frozen as run_frozen,
    )
    from kdharness.api.hooks import hookimpl as hookimpl, module_specs as module_specs
    from kdharness.api.labels import Mixing as Mixing, TaskLoss as TaskLoss
    from kdharness.api.leaderboard import LeaderboardColumn as LeaderboardColumn
    from kdharness.api.method import BuildContext as BuildContext, EpochContext as EpochContext, Method as Method
    from kdharness.api.parameters import (
        Neutral as Neutral,
        NotNegative as NotNegative,
        Parameter as Parameter,
        Positive as Positive,
    )
    from kdharness.api.preprocessing import Preprocessing as Preprocessing
    from kdharness.api.requirements import Pair as Pair, Requirement as Requirement
    from kdharness.api.shapes import ModelShape as ModelShape
    from kdharness.api.specs import (
        DatasetSpec as DatasetSpec,
        ExecutorSpec as ExecutorSpec,
        FiniteView as FiniteView,
        LoggerSpec as LoggerSpec,
        MethodSpec as MethodSpec,
        MetricSpec as MetricSpec,
        OptimizerSpec as OptimizerSpec,
        ViewInfo as ViewInfo,
        ViewSpec as ViewSpec,
    )
    from kdharness.api.staged import Outputs as Outputs, StagedModel as StagedModel, full_precision as full_precision
    from kdharness.api.step import Batch as Batch, Step as Step, StepInfo as StepInfo
    from kdharness.api.versions import API_VERSION as API_VERSION

# Every public name, by the module of this package that holds it. Type checkers cannot read it: for them the names
# stand above once more, and a test compares the two.
_HOMES = {
    "content": ("content_warnings",),
    "data": (
        "Augmentation",
        "DataRequest",
        "DatasetInfo",
        "DatasetMissing",
        "ImageDataset",
        "Split",
        "content_identity",
    ),
    "declarations": ("MixedLabels", "ModelSpec", "Phase", "Player", "Pretrained", "Reads", "Tokens", "View"),
    "evaluation": ("Evaluation", "Inspection", "Observer", "Predictions"),
    "events": ("CellInfo", "RunInfo"),
    "executors": (
        "TRAIN_GROUP",
        "CellAborted",
        "CellFinished",
        "CellStarted",
        "EpochFinished",
        "Executor",
        "Job",
        "JobFinished",
        "JobLost",
        "WorkerError",
        "TeacherUse",
        "WorkerSettings",
        "WorkerWarning",
    ),
    "functional": ("eval_mode", "log_mean_probability", "matched_stages", "reverse_gradient", "run_frozen"),
    "hooks": ("hookimpl", "module_specs"),
    "labels": ("Mixing", "TaskLoss"),
    "leaderboard": ("LeaderboardColumn",),
    "method": ("BuildContext", "EpochContext", "Method"),
    "parameters": ("Neutral", "NotNegative", "Parameter", "Positive"),
    "preprocessing": ("Preprocessing",),
    "requirements": ("Pair", "Requirement"),
    "shapes": ("ModelShape",),
    "specs": (
        "DatasetSpec",
        "ExecutorSpec",
        "FiniteView",
        "LoggerSpec",
        "MethodSpec",
        "MetricSpec",
        "OptimizerSpec",
        "ViewInfo",
        "ViewSpec",
    ),
    "staged": ("Outputs", "StagedModel", "full_precision"),
    "step": ("Batch", "Step", "StepInfo"),
    "versions": ("API_VERSION",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kdharness.api' has no attribute '{name}'")
    return getattr(importlib.import_module(f"kdharness.api.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
