"""All that a plugin author imports. Names that need torch load it when they are first used, so that a plugin's hooks
can be
registered (and `kdharness list plugins` answered) without it.

A method plugin in full::

    import torch.nn.functional as F
    from kdharness.api import Method, MethodSpec, hookimpl

    class LogitMatching(Method):
        "Ba and Caruana 2014: match the teacher's logits."
        name = "logit_matching"
        weight: float = 0.5

        def losses(self, batch, student, teacher):
            return {
                "ce": F.cross_entropy(student.logits, batch.targets),
                "l2": self.weight * F.mse_loss(student.logits, teacher.logits),
            }

    @hookimpl
    def kdharness_methods():
        return [MethodSpec.of(LogitMatching)]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kdharness.api.events import CellInfo
from kdharness.api.executors import (
    TRAIN_GROUP,
    CellAborted,
    CellFinished,
    CellStarted,
    EpochFinished,
    Executor,
    Job,
    JobFinished,
    JobLost,
    WorkerError,
    WorkerSettings,
)
from kdharness.api.hooks import API_VERSION, hookimpl, module_specs
from kdharness.api.specs import (
    DatasetSpec,
    ExecutorSpec,
    MethodSpec,
    MetricSpec,
    ModelSpec,
    Parameter,
    Reads,
)

if TYPE_CHECKING:
    from kdharness.api.data import Augmentation, DataRequest, DatasetInfo, DatasetMissing, ImageDataset, Split
    from kdharness.api.evaluation import Evaluation, Inspection, Observer, Predictions
    from kdharness.api.functional import eval_mode, log_mean_probability, matched_stages, reverse_gradient, run_frozen
    from kdharness.api.method import BuildContext, EpochContext, Method, Pair, Requirement
    from kdharness.api.phases import Batch, Phase, Player, Step, StepInfo
    from kdharness.api.shapes import ModelShape
    from kdharness.api.staged import Outputs, StagedModel

_LAZY = {
    "Augmentation": "data",
    "DataRequest": "data",
    "DatasetInfo": "data",
    "DatasetMissing": "data",
    "ImageDataset": "data",
    "Split": "data",
    "Evaluation": "evaluation",
    "Inspection": "evaluation",
    "Observer": "evaluation",
    "Predictions": "evaluation",
    "log_mean_probability": "functional",
    "matched_stages": "functional",
    "reverse_gradient": "functional",
    "eval_mode": "functional",
    "run_frozen": "functional",
    "BuildContext": "method",
    "EpochContext": "method",
    "Method": "method",
    "ModelShape": "shapes",
    "Pair": "method",
    "Requirement": "method",
    "Batch": "phases",
    "Phase": "phases",
    "Player": "phases",
    "Step": "phases",
    "StepInfo": "phases",
    "Outputs": "staged",
    "StagedModel": "staged",
}

__all__ = [
    "API_VERSION",
    "TRAIN_GROUP",
    "Augmentation",
    "Batch",
    "BuildContext",
    "CellAborted",
    "CellFinished",
    "CellInfo",
    "CellStarted",
    "DataRequest",
    "DatasetInfo",
    "DatasetMissing",
    "DatasetSpec",
    "EpochContext",
    "EpochFinished",
    "Evaluation",
    "Executor",
    "ExecutorSpec",
    "ImageDataset",
    "Inspection",
    "Job",
    "JobFinished",
    "JobLost",
    "Method",
    "MethodSpec",
    "MetricSpec",
    "ModelShape",
    "ModelSpec",
    "Observer",
    "Outputs",
    "Pair",
    "Parameter",
    "Phase",
    "Player",
    "Predictions",
    "Reads",
    "Requirement",
    "Split",
    "StagedModel",
    "Step",
    "StepInfo",
    "WorkerError",
    "WorkerSettings",
    "eval_mode",
    "hookimpl",
    "log_mean_probability",
    "matched_stages",
    "module_specs",
    "reverse_gradient",
    "run_frozen",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'kdharness.api' has no attribute '{name}'")
    return getattr(importlib.import_module(f"kdharness.api.{_LAZY[name]}"), name)
