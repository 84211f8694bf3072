"""A process that is asked to end keeps the epoch that its cells are at."""

from __future__ import annotations

import pytest
import torch

from kdharness.engine import group
from kdharness.engine.stopping import StopRequest
from kdharness.failures import Stopped


def test_a_request_ends_at_once_where_nothing_trains_and_the_second_one_anywhere() -> None:
    request = StopRequest()
    with pytest.raises(Stopped):
        request.ask()
    with request.deferred():
        request.obey()
        request.ask()
        assert request.asked
        with pytest.raises(Stopped):
            request.ask()
        with pytest.raises(Stopped):
            request.obey()
    with pytest.raises(Stopped):
        StopRequest().ask()


def test_cells_that_are_asked_to_end_go_on_from_the_end_of_their_epoch(make_lab, monkeypatch):
    """All of the group, though no checkpoint was due; they end with the bits of those that nobody stopped."""
    request = StopRequest()
    monkeypatch.setattr(group, "stop_request", request)
    straight, stopped = make_lab("straight"), make_lab("stopped", checkpoint_seconds=1e9)
    plan = straight.plan(methods=("vanilla", "dml"), scenarios=("few100",), epochs=3)
    cells = [p.cell for p in plan.cells if p.cell.role == "student"]
    straight.train(cells)

    def ask(event):
        if getattr(event, "epoch", 0) == 2 and not request.asked:
            request.ask()  # while the others are at this epoch

    stopped.on_event = ask
    with pytest.raises(Stopped):
        stopped.train(cells)
    for cell in cells:
        assert torch.load(stopped.folder.cell(cell.key).checkpoint, weights_only=True)["clock"]["epoch"] == 2
    monkeypatch.setattr(group, "stop_request", StopRequest())
    stopped.on_event = lambda event: None
    before = len(stopped.events)
    stopped.train(cells)
    assert {event.epoch for event in stopped.events[before:] if hasattr(event, "epoch")} == {3}
    assert [stopped.bits(c.key) for c in cells] == [straight.bits(c.key) for c in cells]
