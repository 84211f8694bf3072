"""Whether a file's weights are those of a network, and how they get into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kdharness.api.staged import StagedModel
from kdharness.errors import UserError
from kdharness.failures import attempt
from kdharness.weights.layouts import StateDict, is_bookkeeping, plain_name, views
from kdharness.weights.reading import ADVICE, CHOOSING, INITIAL_FILE, WeightsFile
from kdharness.weights.values import short, unlike_numbers


def fill(model: StagedModel, file: WeightsFile, but_for: str = "") -> None:
    """Loads the likeliest of the file's state dicts that fit. UserError when none does, or several are as likely.

    but_for: path of a module that is left as it is.
    """
    model.network.load_state_dict(_fitting(model, file, but_for)[0].tensors, strict=False)


def check_fit(model: StagedModel, file: WeightsFile, but_for: str = "") -> tuple[str, ...]:
    """What a user should know of how the file is read, in lines.

    UserError as of `fill`. The network may be on the meta device.
    """
    taken, others = _fitting(model, file, but_for)
    lines = []
    if others:
        rest = " and ".join(sorted({each.place for each in others}))
        lines.append(f"{file} holds several state dicts that fit: {taken.place} is taken, not {rest} ({CHOOSING})")
    kinds = sorted({short(t.dtype) for n, t in taken.tensors.items() if _is_rounded(t, taken.expected[n])})
    if kinds:
        lines.append(f"{file} holds {' and '.join(kinds)}, which is read as float32")
    return tuple(lines)


@dataclass(frozen=True)
class _Trial:
    """A state dict under the network's names.

    tensors: by those names. twice: names that two of its tensors have.
    """

    source: StateDict
    expected: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor]
    twice: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return f"'{self.source.place}'" if self.source.place else "what has no key"

    def faults(self) -> list[str]:
        """What is wrong with it, the worst first."""
        expected, given = self.expected.keys(), self.tensors.keys()
        lacking = [name for name in sorted(expected - given) if not name.endswith("num_batches_tracked")]
        return [
            *(f"'{name}' is there twice" for name in self.twice),
            *(f"it lacks '{name}'" for name in lacking),
            *(f"'{name}' is not part of it" for name in sorted(given - expected)),
            *(f"'{name}' {reason}" for name, reason in self.unlike()),
            *(f"'{name}' is {kind}, and no tensor" for name, kind in sorted(self.source.others.items())),
        ]

    def same_as(self, other: _Trial) -> bool:
        """Whether it holds the very same weights."""
        pairs = [(t, other.tensors.get(name)) for name, t in self.tensors.items()]
        return all(b is not None and a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)

    def unlike(self) -> Iterator[tuple[str, str]]:
        """Names of tensors that cannot be copied to what is expected, and why."""
        for name, tensor in self.tensors.items():
            if name in self.expected and (reason := _unlike(tensor, self.expected[name])):
                yield name, reason

    def looks(self) -> str:
        """What the file looks like."""
        place = f"under '{self.source.place}', " if self.source.place else ""
        first = next(iter(self.source.tensors))
        taken = first.removesuffix(plain_name(first, self.expected))
        prefix = f" ('{taken}' taken off)" if taken else ""
        share = f"{len(self.expected.keys() & self.tensors.keys())} of {len(self.expected)}"
        return f"{place}names such as '{first[:80]}'{prefix}, {share} that the model has"


def _fitting(model: StagedModel, file: WeightsFile, but_for: str) -> tuple[_Trial, list[_Trial]]:
    """The state dict to be taken, and others of the file that fit and hold other weights."""
    expected = _but_for(model.network.state_dict(), but_for)
    name_of = partial(_name_of, expected=expected, renamed=model.spec.renamed)
    trials = [_trial(view, expected, but_for, name_of) for found in file.found for view in views(found)]
    best = min(trials, key=lambda trial: len(trial.faults()))
    if faults := best.faults():
        raise UserError(f"{file} does not fit model '{model.spec.name}': {_said(best, faults, model, file)}")
    fit = sorted((trial for trial in trials if not trial.faults()), key=lambda trial: file.standing(trial.source))
    others = [trial for trial in fit[1:] if not trial.same_as(fit[0])]
    if rivals := [each.place for each in others if file.standing(each.source) == file.standing(fit[0].source)]:
        several = ", ".join((fit[0].place, *rivals))
        raise UserError(f"{file} holds several state dicts that fit model '{model.spec.name}': {several}; {CHOOSING}")
    return fit[0], others


def _is_rounded(tensor: Tensor, expected: Tensor) -> bool:
    return tensor.is_floating_point() and expected.is_floating_point() and tensor.dtype != expected.dtype


def _name_of(name: str, expected: Mapping[str, Tensor], renamed: Callable[[str], str] | None) -> str:
    """A tensor's name as the network has it: what wrappers put before it is taken off, others' names are known."""
    plain = plain_name(name, expected)
    if plain in expected or renamed is None:
        return plain
    found = attempt(lambda: renamed(plain))
    return found if isinstance(found, str) else plain


def _trial(view: StateDict, expected: Mapping[str, Tensor], but_for: str, name_of: Callable[[str], str]) -> _Trial:
    tensors: dict[str, Tensor] = {}
    twice = []
    for name, tensor in view.tensors.items():
        plain = name_of(name)
        if plain in expected or not is_bookkeeping(plain):
            twice += [plain] if plain in tensors else []
            tensors[plain] = tensor
    return _Trial(view, expected, _but_for(tensors, but_for), tuple(twice))


def _unlike(tensor: Tensor, expected: Tensor) -> str:
    """Why a tensor cannot be copied to the one that is expected; "" where it can."""
    if tensor.shape != expected.shape:
        return f"is {list(tensor.shape)}, not {list(expected.shape)}"
    if tensor.is_meta:
        return "has no values"
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
        return "is sparse, quantised or complex"
    return unlike_numbers(tensor.dtype, expected.dtype)


def _said(trial: _Trial, faults: list[str], model: StagedModel, file: WeightsFile) -> str:
    """The first fault, what the file looks like, and what to do."""
    in_classifier = [name for name, _ in trial.unlike() if name.rpartition(".")[0] == model.spec.classifier]
    if file.what == INITIAL_FILE and in_classifier and len(in_classifier) == len(faults):
        return f"{faults[0]}; new_classifier = true leaves its classifier as it is drawn"
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{faults[0]}{more}; found {trial.looks()}; {ADVICE} of this very model"


def _but_for(tensors: Mapping[str, Tensor], module: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not (module and name.startswith(f"{module}."))}
