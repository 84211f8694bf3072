"""Checks of single steps, on the bench: what `losses` gives, what it leaves alone, and the rehearsals."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kdharness.api import Phase, Step
from kdharness.device.random import default_generators_kept
from kdharness.measure.predict import named
from kdharness.testing.bench import SAMPLES, Bench, Forward
from kdharness.testing.case import CheckFailed, CheckSkipped, MethodCase
from kdharness.testing.operations import operations
from kdharness.testing.rehearsal import CPU, fake_accelerator, meta_device

TAGS = ("task", "distill", "player")


@contextmanager
def on_the_bench(case: MethodCase, method_seed: int = 0) -> Iterator[Bench]:
    """The case on the CPU; the default generators are kept."""
    with default_generators_kept(CPU.default_generators()):
        yield Bench(case, CPU.torch, method_seed)


def steps(bench: Bench) -> Iterator[tuple[Phase, Forward]]:
    """One step of each phase, and what its losses were."""
    for phase in bench.phases:
        bench.enter(phase)
        yield phase, bench.step(phase)


# -- losses ------------------------------------------------------------------------------------------------------------


def check_losses_are_finite_named_scalars(case: MethodCase) -> None:
    """In every phase: a dict of 0-d tensors, all of them finite, of which one at least reaches a trained part."""
    with on_the_bench(case) as bench:
        for phase in bench.phases:
            bench.enter(phase)
            returned = bench.losses(phase)
            _check_terms(returned, phase.name)
            if not any(term.requires_grad for term in returned.values()):
                raise CheckFailed(f"no loss term of phase '{phase.name}' has a gradient")
        for term, tag in bench.method.terms.items():
            if tag not in TAGS:
                raise CheckFailed(f"the tag of '{term}' is '{tag}', and not one of {', '.join(TAGS)}")


def _check_terms(terms: Any, phase: str) -> None:
    if not isinstance(terms, Mapping):
        raise CheckFailed(f"losses() must return a dict of named terms, got {type(terms).__name__}")
    for name, term in terms.items():
        if not isinstance(name, str) or not isinstance(term, Tensor) or term.ndim:
            raise CheckFailed(f"losses()[{name!r}] in phase '{phase}' is no scalar tensor by name")
        if not bool(term.isfinite()):
            raise CheckFailed(f"losses()['{name}'] in phase '{phase}' is {float(term)}")


def check_declared_terms_are_returned(case: MethodCase) -> None:
    """Over all phases, the terms that `losses` returns are those that the method declares."""
    with on_the_bench(case) as bench:
        returned = {name for _, forward in steps(bench) for name in forward.returned}
        declared = set(bench.method.terms)
    if returned - declared:
        raise CheckFailed(f"losses() returns what terms does not declare: {', '.join(sorted(returned - declared))}")
    if declared - returned:
        raise CheckFailed(f"terms declares what losses() does not return: {', '.join(sorted(declared - returned))}")


def check_ablations_can_be_made(case: MethodCase) -> None:
    """Each named parameter set of `ablations` makes a method that takes a step; sets not for this pair are left out."""
    _ = case.cell
    for name, changes in case.spec.factory.ablations.items():
        ablated = replace(case, parameters={**case.parameters, **changes})
        try:
            with on_the_bench(ablated) as bench:
                for phase, forward in steps(bench):
                    _check_terms(forward.returned, phase.name)
        except CheckSkipped:
            continue
        except Exception as error:
            raise CheckFailed(f"the ablation '{name}' takes no step: {error}") from error


# -- teachers ----------------------------------------------------------------------------------------------------------


def check_teachers_get_no_gradient(case: MethodCase) -> None:
    """No step gives a teacher a gradient or changes a weight, nor, unless it is private, a buffer or a mode."""
    with on_the_bench(case) as bench:
        parameters = [p for teacher in bench.networks for p in teacher.parameters()]
        weights = [p.detach().clone() for p in parameters]
        buffers = _buffers(bench.networks)
        for phase, _ in steps(bench):
            if any(p.grad is not None or p.requires_grad for p in parameters):
                raise CheckFailed(f"a step of phase '{phase.name}' leaves a gradient in a teacher")
            if not all(map(torch.equal, parameters, weights)):
                raise CheckFailed(f"a step of phase '{phase.name}' changes a teacher's weights")
            shared = not bench.method.private_teacher
            if shared and not all(map(torch.equal, _buffers(bench.networks), buffers)):
                raise CheckFailed(f"a step of phase '{phase.name}' changes a teacher's buffers, or its mode")


def _buffers(networks: Sequence[nn.Module]) -> list[Tensor]:
    """Clones of all buffers, and the modes of all modules as one more."""
    modes = torch.tensor([m.training for network in networks for m in network.modules()])
    return [*(b.clone() for network in networks for b in network.buffers()), modes]


# -- state -------------------------------------------------------------------------------------------------------------


def check_state_round_trip(case: MethodCase) -> None:
    """A method's state can be saved without code, and another instance with that state gives the same losses."""
    with on_the_bench(case) as bench:
        for _ in steps(bench):
            pass
        phase = bench.phases[-1]
        saved = _saved({"method": bench.method.state_dict(), "student": bench.student.state_dict()})
        draws = [generator.get_state() for generator in bench.generators]
        torch.manual_seed(0)
        expected = bench.forward(phase).losses
    with on_the_bench(case, method_seed=1) as other:
        other.enter(phase)
        other.method.load_state_dict(saved["method"])
        other.student.load_state_dict(saved["student"])
        for generator, state in zip(other.generators, draws, strict=True):
            generator.set_state(state)
        torch.manual_seed(0)
        found = other.forward(phase).losses
    different = [name for name in expected if not torch.equal(expected[name], found[name])]
    if different:
        what = ", ".join(different)
        raise CheckFailed(f"after state_dict() and load_state_dict() the losses differ: {what}; see get_extra_state")


def _saved(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state, written and read as a checkpoint is."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        read: dict[str, Any] = torch.load(buffer, weights_only=True)
    except Exception as error:
        raise CheckFailed(f"the state cannot be read without running code from it: {error}") from error
    return read


# -- prediction --------------------------------------------------------------------------------------------------------


def check_predictor_gives_named_logits(case: MethodCase) -> None:
    """The predictor gives finite logits [N, classes] by name, and each deployable what the output of its name is."""
    with on_the_bench(case) as bench, torch.no_grad():
        images = bench.views[0]
        outputs = named(bench.predictor.eval()(images))
        for name, logits in outputs.items():
            if logits.shape != (SAMPLES, bench.info.num_classes) or not bool(logits.isfinite().all()):
                raise CheckFailed(f"predictor output '{name}' is no finite logits [N, classes]")
        for name, network in bench.method.deployables(bench.student, bench.teachers).items():
            if name not in outputs:
                raise CheckFailed(
                    f"deployables() names '{name}', which the predictor does not (it has {list(outputs)})"
                )
            if not torch.allclose(network.eval()(images).float(), outputs[name], atol=1e-5):
                raise CheckFailed(f"the deployable network '{name}' gives other logits than the predictor's output")


# -- rehearsals --------------------------------------------------------------------------------------------------------


def check_no_read_back_in_a_step(case: MethodCase) -> None:
    """No step looks at a number that would be on the device, or makes a tensor whose size depends on one."""
    with on_the_bench(case) as bench:
        for phase in bench.phases:
            bench.enter(phase)
            with operations() as found:
                bench.step(phase)
            if found.read_backs:
                what = ", ".join(dict.fromkeys(found.read_backs))
                raise CheckFailed(f"a step of phase '{phase.name}' waits for the device: {what}")


class _Wired(Step):
    """A step whose backward pass gives zeros, and whose optimisers do nothing: neither runs on a fake device."""

    def backward(self, loss: Tensor | None = None, retain_graph: bool = False) -> None:
        loss = self.total() if loss is None else loss
        for parameters in self.parameters.values() if loss.requires_grad else ():
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)

    def gradients(self, loss: Tensor, player: str = "main", retain_graph: bool = True) -> list[Tensor | None]:
        return [torch.zeros_like(parameter) for parameter in self.parameters[player]]

    def apply(self, *players: str) -> None:
        unknown = [name for name in players if name not in self.parameters]
        if unknown:
            raise KeyError(unknown[0])


def check_rehearsal_on_a_fake_accelerator(case: MethodCase) -> None:
    """Build, forward, losses, update, `after_step` and predictor on a fake accelerator: nothing mixes devices."""
    _ = case.cell
    with fake_accelerator() as device:
        bench = Bench(case, device)
        for phase in bench.phases:
            bench.enter(phase)
            forward = bench.forward(phase)
            bench.update(forward, _Wired)
            bench.after(forward)
            elsewhere = [name for name, term in forward.returned.items() if term.device.type != device.type]
            if elsewhere:
                raise CheckFailed(f"loss terms that are not on the device: {', '.join(elsewhere)}")
        with torch.no_grad():
            bench.predictor.eval()(bench.views[0])


def check_rehearsal_of_the_whole_step_on_meta(case: MethodCase) -> None:
    """Whole steps, backward pass and optimisers too, on the device without numbers."""
    with meta_device() as device:
        for _ in steps(Bench(case, device)):
            pass
