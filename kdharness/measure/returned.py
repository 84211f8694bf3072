"""What a metric's function returned, checked: numbers by the names that are the metric's own."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from kdharness.api.specs import MetricSpec


def numbers(spec: MetricSpec, returned: Any) -> dict[str, float]:
    """TypeError or ValueError, in one line, for anything else: whoever merges tables finds a number by its name."""
    if not isinstance(returned, Mapping):
        raise TypeError(f"it returned {_kind(returned)} and not numbers by name, as in {{'{spec.name}': 1.0}}")
    found = {}
    for name, value in returned.items():
        if not spec.owns(str(name)):
            raise ValueError(f"its number '{name}' is not called '{spec.name}', and does not begin with '{spec.name}_'")
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"its number '{name}' is {_kind(value)}") from None
        if math.isnan(found[str(name)]):
            raise ValueError(f"its number '{name}' is nan: leave out what cannot be measured")
    return found


def numbers_by_output(spec: MetricSpec, returned: Any, outputs: Collection[str]) -> dict[str, dict[str, float]]:
    """The same of a metric that gives numbers for each output. outputs: those that there are."""
    main = next(iter(outputs))
    if not isinstance(returned, Mapping) or not all(isinstance(each, Mapping) for each in returned.values()):
        wanted = f"{{cell.main: {{'{spec.name}': 1.0}}}}"
        raise TypeError(f"it returned {_kind(returned)} and not numbers by output and name, as in {wanted}")
    for output in returned:
        if output not in outputs:
            there_is = f"there is {', '.join(outputs)} (cell.main is '{main}')"
            raise ValueError(f"it names the output '{output}', and {there_is}")
    return {str(output): numbers(spec, each) for output, each in returned.items()}


def _kind(value: Any) -> str:
    shape = f" of shape {list(value.shape)}" if hasattr(value, "shape") else ""
    return "None" if value is None else f"a {type(value).__name__}{shape}"
