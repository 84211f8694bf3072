"""A student is taught by the weights that its teacher's record speaks of, by no others."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from kdharness.results.record import Status
from kdharness.weights.digests import sha256_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A lab with a teacher, and its plan."""
    from kdharness.testing import Lab

    lab = Lab(tmp_path_factory.mktemp("bound") / "lab")
    plan = lab.plan(methods=("kd",), scenarios=("few100",))
    lab.train([plan.cells[0].cell])
    return lab, [planned.cell for planned in plan.cells]


@pytest.fixture
def taught(trained, make_lab):
    """A lab of its own with that teacher, the teacher's cell, and the student's."""
    lab, (teacher, student) = make_lab(checkpoint_seconds=0.0), trained[1]
    lab.take(trained[0], [student])
    return lab, teacher, student


def test_a_record_knows_its_files_and_what_taught_it(taught):
    lab, teacher, student = taught
    record = lab.train([student])[student.key]
    folder = lab.folder.cell(student.key).folder
    assert record.files == {
        name: sha256_of(folder / name) for name in ("model.safetensors", "predictions.npz", "history.csv")
    }
    weights = sha256_of(lab.folder.cell(teacher.key).model)
    assert lab.folder.read_record(teacher.key).weights == weights
    assert record.sources == {teacher.key: weights}
    assert record.values["teacher_digest"] == weights[:16]


@pytest.mark.parametrize("change", ["replaced", "a bit", "lost"])
def test_other_weights_teach_nobody(taught, change):
    lab, teacher, student = taught
    path = lab.folder.cell(teacher.key).model
    if change == "replaced":
        save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    elif change == "a bit":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    record = lab.train([student])[student.key]
    assert (record.status, record.error_type) == (Status.INTERRUPTED, "WeightsChanged")
    what = "lost" if change == "lost" else "not those of its record"
    message = f"the weights of conv32 (cell {teacher.key}) are {what}; the same command trains it again"
    assert record.error_message == message


def test_a_checkpoint_of_another_teacher_is_not_gone_on_with(taught, trained):
    lab, teacher, student = taught
    path = lab.folder.cell(teacher.key).model

    class Stop(BaseException):
        pass

    def stop(event):
        if getattr(event, "epoch", 0) == 2:
            raise Stop

    lab.on_event = stop
    with contextlib.suppress(Stop):
        lab.train([student])
    assert lab.folder.cell(student.key).checkpoint.exists()
    lab.on_event = lambda event: None
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    record = lab.folder.read_record(teacher.key)
    lab.folder.set_aside(teacher.key)
    lab.folder.write_record(record)
    lab.events.clear()
    assert lab.train([student])[student.key].status is Status.OK
    assert [event.epoch for event in lab.events if hasattr(event, "epoch")] == [1, 2]


# -- a worker that is killed at a cell's end ---------------------------------------------------------------------------

OPERATIONS = ("fsync", "replace", "unlink")


def _count(monkeypatch: pytest.MonkeyPatch, kill_at: int) -> list[str]:
    """Every file operation from here on, in order; at the one of this number the process dies."""
    seen: list[str] = []

    def counted(real, name):
        def operation(*arguments, **named):
            if len(seen) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            seen.append(name)
            return real(*arguments, **named)

        return operation

    for name in OPERATIONS:
        monkeypatch.setattr(os, name, counted(getattr(os, name), name))
    return seen


def _train_in_a_child(lab, cell, monkeypatch: pytest.MonkeyPatch, kill_at: int) -> int:
    """The signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        with monkeypatch.context() as patch:
            _count(patch, kill_at)
            lab.train([cell])
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_worker_killed_at_any_file_operation_costs_nothing_that_was_done(taught, make_lab, monkeypatch):
    """It is tried again with the same bits; a record that says ok has all of its files, and stays."""
    lab, _, student = taught
    straight = make_lab("straight", checkpoint_seconds=0.0)
    straight.take(lab, [student])
    with monkeypatch.context() as patch:
        operations = _count(patch, -1)
        straight.train([student])
    expected = straight.bits(student.key)
    assert operations.count("replace") >= 6
    for kill_at in range(len(operations)):
        place = make_lab(f"killed-{kill_at}", checkpoint_seconds=0.0)
        place.take(lab, [student])
        assert _train_in_a_child(place, student, monkeypatch, kill_at) == -signal.SIGKILL
        record = place.folder.read_record(student.key)
        done = record is not None and record.status is Status.OK
        if done:
            _check_whole(place.folder.cell(student.key).folder, record.files, expected)
        again = place.train([student], anew=False)
        assert again[student.key].status is Status.OK
        assert place.bits(student.key) == expected
        assert not done or again[student.key] == record, "what is done is not done twice"


def _check_whole(folder: Path, files, expected) -> None:
    assert {name: sha256_of(folder / name) for name in expected} == dict(files)
    assert {name: (folder / name).read_bytes() for name in expected} == expected
