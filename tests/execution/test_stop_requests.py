"""A request to end reaches a worker, whatever plugin is at work when it comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from kdharness.engine.stopping import StopRequest
from kdharness.execution import worker
from kdharness.execution.worker import stop_when_asked
from kdharness.failures import Stopped, attempt


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    request = StopRequest()
    monkeypatch.setattr(worker, "stop_request", request)
    before = signal.getsignal(signal.SIGTERM)
    stop_when_asked()
    yield request.insist
    signal.signal(signal.SIGTERM, before)


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_it_passes_through_a_plugin_that_is_being_loaded(check: Callable[[], None]) -> None:
    check()
    with pytest.raises(Stopped):
        attempt(ask)


def test_a_plugin_that_swallows_it_delays_it_to_the_next_sign_of_life(check: Callable[[], None]) -> None:
    with suppress(BaseException):
        ask()
    with pytest.raises(Stopped):
        check()
