"""What is installed, as rows of plain data: what `kdharness list` shows, and prints as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdharness import __version__
from kdharness.api.parameters import Parameter
from kdharness.api.specs import MethodSpec
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt
from kdharness.protocol.benchmark import available
from kdharness.protocol.toml import read_toml
from kdharness.registry.manager import Registry
from kdharness.registry.source import Source

if TYPE_CHECKING:
    from kdharness.api.method import Method

Row = dict[str, Any]

# What is listed, and the registry's word for it ("" for what it does not hold).
KINDS = {
    "benchmarks": "",
    "methods": "method",
    "models": "model",
    "datasets": "dataset",
    "views": "view",
    "metrics": "metric",
    "optimizers": "optimizer",
    "columns": "leaderboard_column",
    "executors": "executor",
    "loggers": "logger",
    "plugins": "",
}

_BENCHMARK_KEYS = ("datasets", "pairs", "scenarios", "seeds", "references")
_METHOD_ATTRIBUTES = ("terms", "regime", "needs_scenario", "ablations", "private_teacher", "published", "unproved")
_SPEC_FIELDS = (
    "paper",
    "stem",
    "stages",
    "pre_activations",
    "norms",
    "classifier",
    "local_parameters",
    "unit",
    "dtype",
    "higher_is_better",
    "splits",
    "needs_teacher",
    "hidden",
    "on_request",
    "reads",
    "fused",
    "capturable",
    "revision",
    "needs",
    "install",
)


def rows_of(kind: str, registry: Registry) -> list[Row]:
    """One row for everything of a kind of KINDS, in order of names."""
    if kind == "benchmarks":
        return _benchmark_rows()
    if kind == "plugins":
        return _plugin_rows(registry)
    found = registry.of(KINDS[kind]).values()
    return [{**_spec_row(r.spec), **_origin(r.source)} for r in found]


def overview(registry: Registry) -> list[Row]:
    """For each kind how many there are, and their names."""
    names = {kind: [row["name"] for row in rows_of(kind, registry)] for kind in KINDS}
    return [{"kind": kind, "count": len(found), "names": found} for kind, found in names.items()]


def _benchmark_rows() -> list[Row]:
    origin = {"package": "kdharness", "version": __version__}
    return [{"name": name, **_benchmark(path), **origin, "file": str(path)} for name, path in available().items()]


def _benchmark(path: Path) -> Row:
    try:
        content = read_toml(path, "benchmark file")
    except UserError as error:
        return {"summary": f"not readable: {error}"}
    return {"summary": content.get("summary", ""), **{k: _plain(content[k]) for k in _BENCHMARK_KEYS if k in content}}


def _plugin_rows(registry: Registry) -> list[Row]:
    return [
        {
            "name": info.name,
            **_origin(info.source),
            "editable": info.source.editable,
            "hooks": list(info.hooks),
            "errors": list(info.errors),
        }
        for info in registry.plugins
    ]


def _origin(source: Source) -> Row:
    return {"package": source.distribution, "version": source.version, "file": source.file}


def _spec_row(spec: Any) -> Row:
    row: Row = {"name": spec.name, "summary": spec.summary}
    row |= {name: _plain(getattr(spec, name)) for name in _SPEC_FIELDS if hasattr(spec, name)}
    if hasattr(spec, "parameters"):
        row["parameters"] = [_parameter(parameter) for parameter in spec.parameters]
    return row | _method(spec.factory) if isinstance(spec, MethodSpec) else row


def _method(factory: type[Method]) -> Row:
    """What a method declares. Some of it may depend on parameters, so an instance with the defaults is asked."""
    made = attempt(factory)
    method: Any = factory if isinstance(made, Failure) else made
    reads = attempt(lambda: asdict(method.reads))
    declared = {name: attempt(partial(getattr, method, name)) for name in _METHOD_ATTRIBUTES}
    found = {"reads": reads, **declared}
    # Without an instance nobody knows what a property says.
    return {name: None if isinstance(value, Failure | property) else _plain(value) for name, value in found.items()}


def _parameter(parameter: Parameter) -> Row:
    default = attempt(lambda: parameter.canonical(parameter.default))
    shown = _plain(parameter.default if isinstance(default, Failure) else default)
    return {"name": parameter.name, "type": parameter.type_name, "default": shown}


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it; what JSON does not know, as text."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, str | int | float):
        return value
    text = attempt(lambda: "".join([str(value)]))
    return f"a {type(value).__name__}" if isinstance(text, Failure) else text
