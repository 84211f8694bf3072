"""Which checks a method has to pass, chosen by what it declares, and the two ways to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from kdharness.api import MethodSpec
from kdharness.engine.seen_batch import transforms
from kdharness.testing import (
    label_checks as labels,
    replay,
    step_checks as steps,
    taken_back,
    training_checks as trainings,
)
from kdharness.testing.case import CheckSkipped, MethodCase

if TYPE_CHECKING:
    import pytest

Check = Callable[[MethodCase], None]
#: By label of a case, or by name of a method: the checks that are expected to fail, each with the reason.
ExpectedFailures = Mapping[str, Mapping[str, str]]


def _of_every_method(case: MethodCase) -> Iterator[Check]:
    yield trainings.check_plan_is_repeatable
    yield steps.check_losses_are_finite_named_scalars
    yield steps.check_state_round_trip
    yield steps.check_predictor_gives_named_logits
    yield steps.check_no_read_back_in_a_step
    yield steps.check_rehearsal_on_a_fake_accelerator
    yield steps.check_rehearsal_of_the_whole_step_on_meta
    yield trainings.check_same_bits_alone_and_in_a_group
    yield trainings.check_same_bits_when_resumed


def _of_what_it_declares(case: MethodCase) -> Iterator[Check]:
    method = case.made()
    if method.terms:
        yield steps.check_declared_terms_are_returned
    if method.reads.teachers != "none":
        yield steps.check_teachers_get_no_gradient
    if method.capturable:
        yield replay.check_step_can_be_replayed
        yield taken_back.check_step_can_be_taken_back
    if method.ablations:
        yield steps.check_ablations_can_be_made
    if method.mixed_labels != "refuse":
        yield labels.check_mixed_labels_are_read_as_declared
    if transforms(method):
        yield labels.check_transform_is_pure


def method_checks(method: MethodSpec | MethodCase) -> Iterator[tuple[str, Callable[[], None]]]:
    """The name of each check that the method has to pass, and a function that runs it.

    The function raises CheckFailed, or what the method raised, where a promise is broken, and CheckSkipped, with the
    reason, where the method does not serve the pair.
    """
    case = MethodCase.of(method)
    for generator in (_of_every_method, _of_what_it_declares):
        for check in generator(case):
            yield check.__name__, partial(check, case)


def parametrize_with_checks(
    methods: Iterable[MethodSpec | MethodCase], expected_failures: ExpectedFailures | None = None
) -> pytest.MarkDecorator:
    """A pytest decorator: the test below it, which takes `check` and calls it, is run for every check of every method.

    expected_failures: {"my_method": {"check_...": "the reason"}}. One that passes all the same is a failure.
    """
    import pytest

    cases = [MethodCase.of(method) for method in methods]
    expected = expected_failures or {}
    strangers = set(expected) - {name for case in cases for name in (case.spec.name, case.label)}
    if strangers:
        raise ValueError(f"a failure is expected of '{min(strangers)}', which is not among the methods")
    found = []
    for case in cases:
        reasons = {**expected.get(case.spec.name, {}), **expected.get(case.label, {})}
        checks = dict(method_checks(case))
        if set(reasons) - set(checks):
            raise ValueError(
                f"'{min(set(reasons) - set(checks))}' of {case.label} is expected to fail, and is no check"
            )
        for name, check in checks.items():
            marks = [pytest.mark.xfail(reason=reasons[name], strict=True)] if name in reasons else []
            found.append(pytest.param(partial(_run, check), id=f"{case.label}-{name}", marks=marks))
    return pytest.mark.parametrize("check", found)


def _run(check: Callable[[], Any]) -> None:
    import pytest

    try:
        check()
    except CheckSkipped as reason:
        pytest.skip(str(reason))
