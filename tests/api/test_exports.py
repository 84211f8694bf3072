"""kdharness.api exports what it says, and type checkers see the same."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from kdharness import api

# What 0.1.0 exported: authors' files rest on it.
PROMISED = (
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
    "FiniteView",
    "ImageDataset",
    "Inspection",
    "Job",
    "JobFinished",
    "JobLost",
    "LoggerSpec",
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
    "RunInfo",
    "Split",
    "StagedModel",
    "Step",
    "StepInfo",
    "WorkerError",
    "TeacherUse",
    "WorkerSettings",
    "eval_mode",
    "hookimpl",
    "log_mean_probability",
    "matched_stages",
    "module_specs",
    "reverse_gradient",
    "run_frozen",
)


def seen_by_type_checkers() -> dict[str, str]:
    """Every name that stands under TYPE_CHECKING as `name as name`, by the module that it comes from."""
    tree = ast.parse(Path(api.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names if alias.asname == alias.name}


@pytest.mark.parametrize("name", PROMISED)
def test_what_was_promised_is_exported(name: str) -> None:
    assert name in api.__all__


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_resolves_to_that_of_its_module(name: str) -> None:
    home = importlib.import_module(seen_by_type_checkers()[name])
    assert getattr(api, name) is getattr(home, name)


def test_type_checkers_see_the_same_names() -> None:
    assert sorted(seen_by_type_checkers()) == api.__all__


def test_the_list_is_sorted_and_shown() -> None:
    assert api.__all__ == sorted(set(api.__all__))
    assert dir(api) == api.__all__


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Methods'"):
        _ = api.Methods
    with pytest.raises(ImportError):
        exec("from kdharness.api import Methods")


RECORDS = sorted(name for name in api.__all__ if dataclasses.is_dataclass(getattr(api, name)))


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_says_what_each_of_its_fields_is(name: str) -> None:
    record = getattr(api, name)
    told = re.findall(r"^ *(\w+): ", record.__doc__, re.MULTILINE)
    assert sorted(told) == sorted(field.name for field in dataclasses.fields(record))
