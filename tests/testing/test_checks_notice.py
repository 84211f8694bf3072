"""Every check passes a sound method, and notices one that breaks its promise."""

from __future__ import annotations

import re
from collections.abc import Callable

import broken_methods as broken
import pytest

from kdharness.api import Method, MethodSpec
from kdharness.testing import CheckFailed, CheckSkipped, MethodCase, method_checks, parametrize_with_checks


@parametrize_with_checks([MethodSpec.of(method) for method in (broken.Sound, broken.TwoPhases, broken.Transforms)])
def test_sound_methods_pass(check: Callable[[], None]) -> None:
    check()


NOTICED: dict[type[Method], dict[str, str]] = {
    broken.NoMapping: {"check_losses_are_finite_named_scalars": "must return a dict"},
    broken.VectorTerm: {"check_losses_are_finite_named_scalars": "must be a scalar tensor"},
    broken.InfiniteTerm: {"check_losses_are_finite_named_scalars": r"losses\(\)\['first'\] .* is (-?inf|nan)"},
    broken.NoGradient: {"check_losses_are_finite_named_scalars": "no term of losses\\(\\) needs a gradient"},
    broken.UnknownTag: {"check_plan_is_repeatable": "its term 'ce' has the tag 'tasks'"},
    broken.UndeclaredTerm: {"check_declared_terms_are_returned": "does not declare: first"},
    broken.TermThatNeverComes: {"check_declared_terms_are_returned": "does not return: hint"},
    broken.AblationOfNothing: {"check_ablations_can_be_made": "the ablation 'colder' takes no step: .*temprature"},
    broken.AblationThatDivides: {"check_ablations_can_be_made": "the ablation 'coldest' takes no step"},
    broken.ReadsTheLabelOfMixedImages: {"check_mixed_labels_are_read_as_declared": "reads batch.targets, and .*mix"},
    broken.TakesOneLabelForTheTask: {"check_mixed_labels_are_read_as_declared": "reads batch.targets, and .*larger"},
    broken.BreaksOnMixedImages: {"check_mixed_labels_are_read_as_declared": r"of mixed images .* is (-?inf|nan)"},
    broken.AsksForTheShare: {"check_mixed_labels_are_read_as_declared": "waits for the device: _local_scalar_dense"},
    broken.TransformsByCounting: {"check_transform_is_pure": "something else after a step: view 'recipe'"},
    broken.TransformsByItsOwnDraws: {"check_transform_is_pure": "something else"},
    broken.TrainsItsTeacher: {"check_teachers_get_no_gradient": "leaves a gradient in a teacher"},
    broken.WritesToItsTeacher: {"check_teachers_get_no_gradient": "changes a teacher's weights"},
    broken.MovesItsTeachersStatistics: {"check_teachers_get_no_gradient": "changes a teacher's buffers"},
    broken.CountsInPlainPython: {
        "check_state_round_trip": "the losses differ: kd",
        "check_same_bits_when_resumed": "stopped and resumed it gives other bits",
        "check_step_can_be_taken_back": r"a step of phase 'train' cannot be taken back \(student\..* differs\)",
    },
    broken.KeepsCode: {
        "check_state_round_trip": "without running code",
        "check_same_bits_when_resumed": "its checkpoint is not taken up",
    },
    broken.DrawsFromItsOwnGenerator: {"check_same_bits_when_resumed": "stopped and resumed it gives other bits"},
    broken.SharesACounter: {"check_same_bits_alone_and_in_a_group": "alone it gives other bits"},
    broken.PlansAnew: {"check_plan_is_repeatable": "different cells"},
    broken.PredictsOneClass: {"check_predictor_gives_named_logits": "no finite logits"},
    broken.DeploysTheTeacher: {"check_predictor_gives_named_logits": "gives other logits"},
    broken.DeploysWhatIsNoOutput: {"check_predictor_gives_named_logits": "names 'exit'"},
    broken.LooksAtItsLoss: {
        "check_no_read_back_in_a_step": "waits for the device: _local_scalar_dense",
        "check_rehearsal_on_a_fake_accelerator": "depends on numbers that are on the device",
        "check_rehearsal_of_the_whole_step_on_meta": r"Tensor.item\(\) cannot",
    },
    broken.ChoosesByAMask: {
        "check_no_read_back_in_a_step": "waits for the device: index",
        "check_rehearsal_on_a_fake_accelerator": "depends on numbers that are on the device",
        "check_rehearsal_of_the_whole_step_on_meta": "nonzero",
    },
    broken.LooksWhenItUpdates: {
        "check_no_read_back_in_a_step": "waits for the device: _local_scalar_dense",
        "check_rehearsal_on_a_fake_accelerator": "depends on numbers that are on the device",
        "check_rehearsal_of_the_whole_step_on_meta": r"Tensor.item\(\) cannot",
    },
    broken.WeighsByItsEpoch: {"check_step_can_be_replayed": "phase 'train', another epoch: a step does mul"},
    broken.TakesTurns: {"check_step_can_be_replayed": "phase 'train', another step: a step does"},
    broken.DrawsOnTheHost: {"check_step_can_be_replayed": r"draws on the host \(randn\)"},
    broken.HoldsATensorOnTheHost: {"check_rehearsal_on_a_fake_accelerator": "device"},
    broken.KeepsABankOnTheHost: {"check_rehearsal_on_a_fake_accelerator": "copied from the device to the host"},
    broken.DrawsOnTheDevice: {"check_rehearsal_on_a_fake_accelerator": "a generator on the CPU"},
    broken.UpdatesOnTheHost: {"check_rehearsal_on_a_fake_accelerator": "device"},
    broken.NamesAPlayerThatIsNot: {"check_rehearsal_on_a_fake_accelerator": "student"},
}


def checks_of(method: type[Method]) -> dict[str, Callable[[], None]]:
    return dict(method_checks(MethodSpec.of(method)))


def told_by(check: Callable[[], None]) -> str:
    """How it fails: by itself, or by what the method raised."""
    try:
        check()
    except CheckSkipped as reason:
        pytest.skip(str(reason))
    except Exception as failure:  # noqa: BLE001 - see above
        return str(failure)
    return "it passes"


@pytest.mark.parametrize(
    ("method", "name", "says"),
    [
        pytest.param(method, name, says, id=f"{method.name}-{name}")
        for method, checks in NOTICED.items()
        for name, says in checks.items()
    ],
)
def test_a_broken_promise_is_noticed(method: type[Method], name: str, says: str) -> None:
    assert re.search(says, told_by(checks_of(method)[name]))


def test_every_check_notices_something() -> None:
    assert {name for checks in NOTICED.values() for name in checks} == set(checks_of(broken.Transforms))


def test_a_method_that_does_not_serve_the_pair_fails_one_check_and_skips_the_others() -> None:
    """All skipped, it would look as if it had passed."""
    checks = checks_of(broken.Unserved)
    with pytest.raises(CheckFailed, match=r"larger teacher: no check of it can run; MethodCase\(spec, pair="):
        checks.pop("check_plan_is_repeatable")()
    for check in checks.values():
        with pytest.raises(CheckSkipped, match=r"unserved is not for .*: asks for a larger teacher"):
            check()


def test_checks_are_chosen_by_what_is_declared() -> None:
    class Plain(Method):
        name = "plain"

    assert "check_step_can_be_replayed" not in checks_of(broken.SaysThatItDraws)
    plain, sound = checks_of(Plain), checks_of(broken.Transforms)
    assert set(sound) - set(plain) == {
        "check_declared_terms_are_returned",
        "check_ablations_can_be_made",
        "check_mixed_labels_are_read_as_declared",
        "check_transform_is_pure",
    }
    assert "check_same_bits_when_resumed" in plain


def test_a_method_that_nobody_installed_is_planned_beside_the_references() -> None:
    case = MethodCase(MethodSpec.of(broken.Sound), {"temperature": 3.0, "without": ["kd"]})
    assert case.label == "sound[temperature=3,without=kd]"
    assert {p.cell.method for p in case.plan.cells if p.cell.role == "student"} == {"sound", "vanilla", "kd"}
    assert case.cell.parameters["temperature"] == 3.0
    assert case.cell.document["method"]["without"] == ["kd"]
    assert len(case.cell.document["method"]["plugin"]["digest"]) == 16


def test_a_name_that_is_taken_is_told() -> None:
    class Other(Method):
        name = "kd"

    with pytest.raises(Exception, match=r"method 'kd' .*is claimed twice"):
        MethodCase(MethodSpec.of(Other)).cell  # noqa: B018


def test_expected_failures_are_strict_and_have_reasons() -> None:
    reason = {"check_state_round_trip": "it counts in plain Python"}
    marker = parametrize_with_checks(
        [MethodSpec.of(broken.CountsInPlainPython)], {"counts_in_plain_python": reason}
    ).mark
    marked = {param.id: param.marks for param in marker.args[1] if param.marks}
    assert list(marked) == ["counts_in_plain_python-check_state_round_trip"]
    (mark,) = marked["counts_in_plain_python-check_state_round_trip"]
    assert (mark.name, mark.kwargs) == ("xfail", {"reason": "it counts in plain Python", "strict": True})


def test_an_expected_failure_of_no_check_is_an_error() -> None:
    with pytest.raises(ValueError, match="'check_state_trip' of sound"):
        parametrize_with_checks([MethodSpec.of(broken.Sound)], {"sound": {"check_state_trip": "a slip"}})
    with pytest.raises(ValueError, match="'sond'"):
        parametrize_with_checks([MethodSpec.of(broken.Sound)], {"sond": {"check_state_round_trip": "a slip"}})


def test_skipped_checks_are_skipped_by_pytest() -> None:
    (_, param, *_) = parametrize_with_checks([MethodSpec.of(broken.Unserved)]).mark.args[1]
    with pytest.raises(pytest.skip.Exception, match="asks for a larger teacher"):
        param.values[0]()


def test_a_failed_check_is_a_failed_assertion() -> None:
    assert issubclass(CheckFailed, AssertionError)
