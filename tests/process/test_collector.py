"""The collector is called seldom while something is loaded, and after it as before, whatever happened."""

from __future__ import annotations

import gc

import pytest

from kdharness.process.collector import WHILE_LOADING, collector_paused, seldom_collected


def test_it_is_called_seldom_and_then_as_before() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_threshold() == (WHILE_LOADING, *before[1:])
        assert gc.isenabled()
        with seldom_collected():
            assert gc.get_threshold() == (WHILE_LOADING, *before[1:])
        assert gc.get_threshold() == (WHILE_LOADING, *before[1:])
    assert gc.get_threshold() == before


def test_an_error_leaves_it_as_it_was() -> None:
    before = gc.get_threshold()
    with pytest.raises(ImportError), seldom_collected():
        raise ImportError
    assert gc.get_threshold() == before


def test_what_loads_little_is_collected_no_more_often() -> None:
    """A thousand lists are more than Python's own limit, and less than that while something is loaded."""
    gc.collect()
    with seldom_collected():
        begun = gc.get_stats()[0]["collections"]
        kept = [[] for _ in range(70_000)]
        assert gc.get_stats()[0]["collections"] == begun
    assert len(kept) > 1000


def test_the_collector_goes_on_after_a_pause_and_after_an_error() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError), collector_paused():
        raise ValueError
    assert gc.isenabled()
