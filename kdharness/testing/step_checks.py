"""Checks of single steps, on the bench: what `losses` gives, what it leaves alone, and the rehearsals."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kdharness.api import Batch, Step
from kdharness.api.step import NamedGradients
from kdharness.engine.stepper import EagerStepper
from kdharness.measure.predict import named
from kdharness.testing.bench import SAMPLES, Bench
from kdharness.testing.case import CheckFailed, CheckSkipped, MethodCase, skip_secret
from kdharness.testing.operations import operations
from kdharness.testing.rehearsal import fake_accelerator, meta_device, on_the_cpu

# -- losses ------------------------------------------------------------------------------------------------------------


def check_losses_are_finite_named_scalars(case: MethodCase) -> None:
    """In every phase: a dict of 0-d tensors, all of them finite, of which one at least reaches a trained part."""
    with on_the_cpu() as device:
        bench = Bench(case, device)
        for phase in bench.steps():
            for name, term in bench.returned.items():
                if not bool(term.isfinite()):
                    raise CheckFailed(f"losses()['{name}'] in phase '{phase.name}' is {float(term.detach())}")
            if not any(term.requires_grad for term in bench.loss_terms.values()):
                raise CheckFailed(f"no loss term of phase '{phase.name}' has a gradient")


def check_declared_terms_are_returned(case: MethodCase) -> None:
    """Over all phases, the terms that `losses` returns are those that the method declares."""
    with on_the_cpu() as device:
        bench = Bench(case, device)
        returned = {name for _ in bench.steps() for name in bench.returned}
        declared = set(bench.method.terms)
    if returned - declared:
        raise CheckFailed(f"losses() returns what terms does not declare: {', '.join(sorted(returned - declared))}")
    if declared - returned:
        raise CheckFailed(f"terms declares what losses() does not return: {', '.join(sorted(declared - returned))}")


def check_ablations_can_be_made(case: MethodCase) -> None:
    """Each named parameter set of `ablations` makes a method that takes a step; sets not for this pair are left out."""
    _ = case.cell
    for name, changes in case.spec.factory.ablations.items():
        try:
            check_losses_are_finite_named_scalars(replace(case, parameters={**case.parameters, **changes}))
        except CheckSkipped:
            continue
        except Exception as error:
            raise CheckFailed(f"the ablation '{name}' takes no step: {error}") from error


# -- teachers ----------------------------------------------------------------------------------------------------------


def check_teachers_get_no_gradient(case: MethodCase) -> None:
    """No step gives a teacher a gradient or changes a weight, nor, unless it is private, a buffer or a mode."""
    with on_the_cpu() as device:
        bench = Bench(case, device)
        networks = [teacher.model for teacher in bench.member.teachers]
        parameters = [p for network in networks for p in network.parameters()]
        weights = [p.detach().clone() for p in parameters]
        buffers = _buffers(networks)
        for phase in bench.steps():
            if any(p.grad is not None or p.requires_grad for p in parameters):
                raise CheckFailed(f"a step of phase '{phase.name}' leaves a gradient in a teacher")
            if not all(map(torch.equal, parameters, weights)):
                raise CheckFailed(f"a step of phase '{phase.name}' changes a teacher's weights")
            shared = not bench.method.private_teacher
            if shared and not all(map(torch.equal, _buffers(networks), buffers)):
                raise CheckFailed(f"a step of phase '{phase.name}' changes a teacher's buffers, or its mode")


def _buffers(networks: Sequence[nn.Module]) -> list[Tensor]:
    """Clones of all buffers, and the modes of all modules as one more."""
    modes = torch.tensor([m.training for network in networks for m in network.modules()])
    return [*(b.clone() for network in networks for b in network.buffers()), modes]


# -- state -------------------------------------------------------------------------------------------------------------


def check_state_round_trip(case: MethodCase) -> None:
    """A method's state can be saved without code, and another instance with that state gives the same losses."""
    skip_secret(case)
    with on_the_cpu() as device:
        bench, other = Bench(case, device), Bench(case, device, seed=1)
        for _ in bench.steps():
            pass
        for _ in other.phases():
            pass
        hand_over(bench, other)
        for one in (bench, other):
            one.member.clock.number = len(one.member.clock.phases) - 1
            one.member.state.enter_phase()
            one.member.request()
            one.step()
    different = [name for name, term in bench.returned.items() if not torch.equal(term, other.returned[name])]
    if different:
        what = ", ".join(different)
        raise CheckFailed(f"after state_dict() and load_state_dict() the losses differ: {what}; see get_extra_state")


def hand_over(bench: Bench, other: Bench) -> None:
    """Weights and generators, written and read as a checkpoint is."""
    buffer = io.BytesIO()
    torch.save(bench.member.state.weights(), buffer)
    buffer.seek(0)
    try:
        other.member.state.load_weights(torch.load(buffer, weights_only=True))
    except Exception as error:
        raise CheckFailed(f"the state cannot be read without running code from it: {error}") from error
    other.member.state.random.load_state_dict(bench.member.state.random.state_dict())
    for mine, theirs in zip(bench.member.state.generators, other.member.state.generators, strict=True):
        theirs.set_state(mine.get_state())


# -- prediction --------------------------------------------------------------------------------------------------------


def check_predictor_gives_named_logits(case: MethodCase) -> None:
    """The predictor gives finite logits [N, classes] by name, and each deployable what the output of its name is."""
    with on_the_cpu() as device, torch.no_grad():
        bench = Bench(case, device)
        outputs = named(bench.member.predictor.eval()(bench.images))
        for name, logits in outputs.items():
            if logits.shape != (SAMPLES, bench.classes) or not bool(logits.isfinite().all()):
                raise CheckFailed(f"predictor output '{name}' is no finite logits [N, classes]")
        models = [teacher.model for teacher in bench.member.teachers]
        for name, network in bench.method.deployables(bench.member.student, models).items():
            if name not in outputs:
                raise CheckFailed(f"deployables() names '{name}', which the predictor lacks (it has {list(outputs)})")
            if not torch.allclose(network.eval()(bench.images).float(), outputs[name], atol=1e-5):
                raise CheckFailed(f"the deployable network '{name}' gives other logits than the predictor's output")


# -- rehearsals --------------------------------------------------------------------------------------------------------


def check_no_read_back_in_a_step(case: MethodCase) -> None:
    """No step looks at a number that would be on the device, or makes a tensor whose size depends on one."""
    with on_the_cpu() as device:
        bench = Bench(case, device)
        for phase in bench.phases():
            with operations() as found:
                bench.step()
            if found.read_backs:
                raise CheckFailed(f"a step of phase '{phase.name}' waits for the device: {found.waited}")


class _Unfelt(Step):
    """A step whose backward pass, which runs on no fake device, gives zeros."""

    def backward(self, loss: Tensor | None = None, retain_graph: bool = False) -> None:
        loss = self.total() if loss is None else loss
        for parameters in self.parameters.values() if loss.requires_grad else ():
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)

    def gradients(self, loss: Tensor, player: str = "main", retain_graph: bool = True) -> list[Tensor | None]:
        return [torch.zeros_like(parameter) for parameter in self.parameters[player]]


class _UnfeltStepper(EagerStepper):
    """Gives the method such steps. Optimisers that may look at their rate do nothing."""

    def _step(self, losses: dict[str, Tensor], batch: Batch, teacher: Any) -> Step:
        return _Unfelt(**{**vars(super()._step(losses, batch, teacher)), "advance": self._advance})

    def _advance(self, player: str, gradients: NamedGradients | None) -> None:
        if self.state.players.paced[player].as_tensor:
            self.state.players.advance(player, gradients)


def without_backward(bench: Bench) -> None:
    """From now on the bench makes steps that a fake device can make."""
    bench.member.stepper = _UnfeltStepper(bench.member.state, bench.member.reads, bench.member.views)


def check_rehearsal_on_a_fake_accelerator(case: MethodCase) -> None:
    """Build, forward, losses, update, `after_step` and predictor on a fake accelerator: nothing mixes devices.

    Optimisers step too, with their rates as tensors there, if they can.
    """
    _ = case.cell  # planned on the CPU
    with fake_accelerator(records=True) as device:
        bench = Bench(case, device)
        without_backward(bench)
        for _ in bench.steps():
            elsewhere = _elsewhere(bench.returned, device.torch)
            if elsewhere:
                raise CheckFailed(f"loss terms that are not on the device: {', '.join(elsewhere)}")
        with torch.no_grad():
            bench.member.predictor.eval()(bench.images)


def _elsewhere(terms: Mapping[str, Tensor], device: torch.device) -> list[str]:
    return [name for name, term in terms.items() if term.device.type != device.type]


def check_rehearsal_of_the_whole_step_on_meta(case: MethodCase) -> None:
    """Whole steps, backward pass and optimisers too, on the device without numbers."""
    with meta_device() as device:
        for _ in Bench(case, device).steps():
            pass
