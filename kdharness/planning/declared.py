"""What plugins declare, held against the words that there are: else it would be passed over in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from kdharness.api.declarations import ModelSpec
from kdharness.api.requirements import Pair
from kdharness.api.specs import MethodSpec, MetricSpec
from kdharness.errors import nearest
from kdharness.planning.extent import MOST_REQUIRED
from kdharness.planning.pretrained import NEW_CLASSIFIER, WEIGHTS
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.scenario import HIDDEN, SPLITS
from kdharness.protocol.variant import made

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method
    from kdharness.registry.source import Registered

TAGS = ("task", "distill", "player")


def whole(spec: MethodSpec, values: Mapping[str, Any]) -> Method:
    """The method with these parameters. Raises what it raises, also where the plan reads it: as a property."""
    method = made(spec, values)
    check_method(method)
    return method


def all_of(kind: type, ask: Callable[[Pair], Iterable[Any]], pair: Pair) -> tuple[Any, ...]:
    """What a method answers. TypeError for something else than it should be, ValueError where it comes to no end."""
    found = tuple(islice(ask(pair), MOST_REQUIRED + 1))
    for each in found:
        if not isinstance(each, kind):
            raise TypeError(f"it must give {kind.__name__}s, and gave a {type(each).__name__}")
    if len(found) > MOST_REQUIRED:
        raise ValueError(f"it gives more than {MOST_REQUIRED} {kind.__name__}s")
    return found


def check_method(method: Method) -> None:
    """ValueError for a term's tag or a withheld term that there is not. What is a property may raise anything."""
    _ = [method.regime, method.reads.declared_views, method.mixed_labels, method.secret_noise, method.trains_on]
    for term, tag in method.terms.items():
        if tag not in TAGS:
            raise ValueError(f"its term '{term}' has the tag {tag!r}, which is none of {', '.join(TAGS)}")
    for term in method.withheld:
        if term not in method.terms:
            raise ValueError(f"it withholds the term '{term}', which its terms do not name")


def lacks_proof(spec: MethodSpec) -> str:
    """What a method's proof lacks, in its author's words; "" for one that is proved."""
    said: str = getattr(spec.factory, "unproved", "")
    return said


def proved(specs: Mapping[str, Registered[MethodSpec]]) -> tuple[str, ...]:
    """The methods that "all" stands for."""
    return tuple(name for name, registered in specs.items() if not lacks_proof(registered.spec))


def fault_of_model(spec: ModelSpec) -> str:
    """Why nobody could set one of the model's parameters; '' for nothing."""
    for parameter in spec.parameters:
        name = parameter.name
        if name in Recipe.model_fields or name in (WEIGHTS.name, NEW_CLASSIFIER.name):
            whose = "a field of the recipe" if name in Recipe.model_fields else "what every model's table may hold"
            return f"model '{spec.name}' calls a parameter '{name}', which is {whose}: it needs another name"
    return ""


def faults_of_metrics(specs: Iterable[MetricSpec]) -> Iterator[str]:
    """A line for each split or hidden name that no scenario has."""
    for spec in specs:
        for field, names, known in (("splits", spec.splits, SPLITS), ("hidden", spec.hidden, HIDDEN)):
            for name in names:
                if name not in known:
                    close = nearest(name, known, most=1)
                    hint = f"did you mean '{close[0]}'?" if close else f"there is {', '.join(known)}"
                    yield f"metric '{spec.name}' is never measured: its {field} has '{name}'; {hint}"
