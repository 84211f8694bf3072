"""Several methods as one: the student learns by the first one's task terms and by what all of them distil."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, get_args

from torch import Tensor, nn

from kdharness.api.declarations import MixedLabels, Phase, Reads, View, Wanted
from kdharness.api.method import BuildContext, EpochContext, Method
from kdharness.api.requirements import Pair, Requirement
from kdharness.api.specs import MethodSpec
from kdharness.api.staged import Outputs
from kdharness.api.step import Batch

# What a method may override of its own that no other can share: name, and what a line calls it.
OF_ITS_OWN = {
    "update": "an update",
    "select": "a choice of samples",
    "transform": "a transform of the batch",
    "predictor": "a predictor",
    "deployables": "deployables",
    "networks": "further networks",
    "optimizers": "optimisers",
}
USUAL = (View("recipe"),)


class Combination(Method[Any]):
    """Task terms of the first part, distilling terms of all; subclasses name their parts.

    specs: of the parts, by the name that each has in parameters, "kd.temperature", and in terms, "kd.kd". Task terms
        keep their names.
    """

    specs: ClassVar[Mapping[str, MethodSpec]]

    def __init__(self, **parameters: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            spec.factory(**{p.name: parameters.get(f"{name}.{p.name}", p.default) for p in spec.parameters})
            for name, spec in self.specs.items()
        )
        if fault := fault_of(dict(self._named())):
            raise ValueError(fault)

    def _named(self) -> Iterator[tuple[str, Method[Any]]]:
        for name, part in zip(self.specs, self.parts, strict=True):
            assert isinstance(part, Method)
            yield name, part

    # -- declarations -------------------------------------------------------------------------------------------------

    @property
    def reads(self) -> Reads:
        return joined_reads([part.reads for _, part in self._named()])

    @property
    def regime(self) -> str:  # type: ignore[override]
        """The one that its parts have, if any."""
        return max(part.regime for _, part in self._named())

    @property
    def terms(self) -> Mapping[str, str]:
        """Empty where some part declares none: they are known by a step then."""
        each = [(number, name, part.terms) for number, (name, part) in enumerate(self._named())]
        if not all(terms for *_, terms in each):
            return {}
        return {
            called: tag
            for number, name, terms in each
            for term, tag in terms.items()
            if (called := _called(term, tag, name, number))
        }

    @property
    def capturable(self) -> bool:
        return all(part.capturable for _, part in self._named())

    @property
    def mixed_labels(self) -> MixedLabels:
        """What the strictest part says."""
        words: tuple[MixedLabels, ...] = get_args(MixedLabels)
        return max((part.mixed_labels for _, part in self._named()), key=words.index)

    # -- planning -----------------------------------------------------------------------------------------------------

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        """Those that the parts with teachers agree on. ValueError where they do not."""
        asked = {name: (part.reads.teachers, list(part.requires(pair))) for name, part in self._named()}
        taught = [(name, found) for name, (teachers, found) in asked.items() if teachers != "none" or found]
        (first, found), *others = taught or [("", [])]
        for name, requirements in others:
            if requirements != found:
                raise ValueError(f"'{first}' and '{name}' are not taught by the same cells")
        return found

    def skip(self, context: BuildContext) -> str | None:
        for name, part in self._named():
            if (reason := part.skip(_seen_by(part, context))) is not None:
                return self._as_a_part(name, part, reason)
        return None

    def _as_a_part(self, name: str, part: Method[Any], reason: str) -> str:
        """Why a part cannot serve the pair, where settings have the whole's name. A part with teachers of its own would
        only be refused for them once what it lacks is set.
        """
        taught = {other: type(each).requires for other, each in self._named() if each.reads.teachers != "none"}
        own = taught.get(name, Method.requires)
        for other, requires in taught.items():
            if own is not Method.requires and requires is not own:
                return f"'{name}' and '{other}' are not taught by the same cells"
        return reason.replace(f"--set {name}.", f"--set {self.name}.{name}.")

    # -- training -----------------------------------------------------------------------------------------------------

    def build(self, context: BuildContext) -> None:
        for name, part in self._named():
            part.build(_own(name, _seen_by(part, context)))

    def before_epoch(self, epoch: EpochContext) -> None:
        for _, part in self._named():
            part.before_epoch(epoch)

    def losses(self, batch: Batch, student: Outputs, teacher: Any) -> Mapping[str, Tensor]:
        found: dict[str, Tensor] = {}
        for number, (name, part) in enumerate(self._named()):
            declared = part.terms
            for term, value in part.losses(batch, student, _taught(part, teacher)).items():
                tag = declared.get(term, "task" if term == "ce" else "distill")
                if called := _called(term, tag, name, number):
                    found[called] = value
        return found

    def after_step(self, batch: Batch, student: Outputs, teacher: Any) -> None:
        for _, part in self._named():
            part.after_step(batch, student, _taught(part, teacher))

    def after_epoch(self, epoch: EpochContext) -> None:
        for _, part in self._named():
            part.after_epoch(epoch)

    # -- results ------------------------------------------------------------------------------------------------------

    def measurements(self) -> Mapping[str, float]:
        return {f"{name}_{key}": value for name, part in self._named() for key, value in part.measurements().items()}

    def curves(self) -> Mapping[str, float]:
        return {f"{name}.{key}": value for name, part in self._named() for key, value in part.curves().items()}


def _called(term: str, tag: str, part: str, number: int) -> str:
    """What a part's term is called in the whole; "" for one that is left to the first part."""
    if tag != "task":
        return f"{part}.{term}"
    return term if number == 0 else ""


def _taught(part: Method[Any], teacher: Any) -> Any:
    return None if part.reads.teachers == "none" else teacher


def _seen_by(part: Method[Any], context: BuildContext) -> BuildContext:
    return replace(context, teachers=(), teacher_models=()) if part.reads.teachers == "none" else context


def _own(name: str, context: BuildContext) -> BuildContext:
    """With generators that no other part draws from."""
    make = context.make_generator
    return replace(context, make_generator=lambda purpose, device: make(f"{name}.{purpose}", device))


# -- what can be joined ------------------------------------------------------------------------------------------------


def joined_reads(each: Sequence[Reads]) -> Reads:
    """What any of them reads. ValueError for what cannot be read together."""
    teaching = [reads for reads in each if reads.teachers != "none"]
    kinds = list(dict.fromkeys(reads.teachers for reads in teaching))
    if len(kinds) > 1:
        raise ValueError("one part reads one teacher, another reads many")
    student, taught = Wanted(), Wanted()
    for reads in each:
        student |= reads.of_student
    for reads in teaching:
        taught |= reads.of_teachers
    return Reads(
        teachers=kinds[0] if kinds else "none",
        taps=student.taps,
        modules=student.modules,
        teacher_modules=taught.modules,
        indices=any(reads.indices for reads in each),
        views=_joined_views([reads.declared_views for reads in each]),
        partners="same_class" if any(reads.partners == "same_class" for reads in each) else "none",
        teacher_taps=None if set(taught.taps) == set(student.taps) else taught.taps,
    )


def _joined_views(each: Sequence[tuple[View, ...]]) -> tuple[View, ...]:
    """Views that all agree on; a part of one usual view is content where that is the first of several."""
    longest = max(each, key=len)
    for views in each:
        if views != longest and not (views == USUAL and longest[:1] == USUAL):
            raise ValueError("its parts read different views of the images")
    return longest


def fault_of(parts: Mapping[str, Method[Any]]) -> str:
    """Why these methods cannot be trained as one; "" for nothing."""
    for number, (name, part) in enumerate(parts.items()):
        if fault := _fault_of_part(part, is_first=number == 0):
            return f"'{name}' cannot be combined with others: it {fault}"
    if len(regimes := {part.regime for part in parts.values()} - {""}) > 1:
        return f"its parts are of different regimes ({', '.join(sorted(regimes))})"
    try:
        joined_reads([part.reads for part in parts.values()])
    except ValueError as error:
        return str(error)
    return ""


def _trains_in_one_phase(part: Method[Any]) -> bool:
    """Whether its phases are the usual one, also where it says so itself."""
    return type(part).phases is Method.phases or list(part.phases()) == [Phase()]


def _fault_of_part(part: Method[Any], is_first: bool) -> str:
    for attribute, what in OF_ITS_OWN.items():
        if getattr(type(part), attribute) is not getattr(Method, attribute):
            return f"has {what} of its own"
    said = {
        "has phases of its own": not _trains_in_one_phase(part),
        "changes its teacher": part.private_teacher,
        "draws secret noise": part.secret_noise,
        "withholds terms": bool(part.withheld),
        "trains on what others do not": part.trains_on != "train",
        "needs a scenario": part.needs_scenario is not None,
        "has terms of players": "player" in part.terms.values(),
        "adds no term to the first": not is_first and bool(part.terms) and set(part.terms.values()) == {"task"},
    }
    return next((fault for fault, holds in said.items() if holds), "")
