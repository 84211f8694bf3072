"""The columns of `Results.cells`, `metrics` and `history`."""

from __future__ import annotations

from kdharness.frames.column import (
    COST,
    IDENTITY,
    OUTCOME,
    PRIVACY,
    PROVENANCE,
    QUALITY,
    Column,
    integers,
    numbers,
    texts,
)

# In the order of the groups; the frame has that of results.csv.
CELLS: tuple[Column, ...] = (
    *texts(
        IDENTITY,
        ("benchmark", "name of the protocol's file"),
        ("protocol", "digest of what makes cells comparable; no statistic crosses it"),
        ("deviations", "how the run departs from its benchmark"),
        ("dataset", "name of the dataset"),
        ("scenario", "what is done to the data"),
        ("recipe", "what the benchmark calls the student's recipe"),
        ("seeding", "what each seed draws anew"),
        ("role", "student, teacher, step or spread; students alone are ranked"),
        ("method", "name of the method"),
        ("variant", "its parameters that are not the benchmark's own"),
        ("parameters", "all parameters of the method, as JSON"),
        ("teacher", "names of the pair's teachers, joined by '+'"),
        ("student", "name of the trained model"),
        ("cell", "key of the cell: the digest of its whole identity, and its folder"),
        ("regime", "what the method uses beside labels and one teacher"),
        ("track", "by which parameters the method ran: default or published"),
        ("seen_data", "what pretrained weights behind the cell were trained on"),
    ),
    *integers(IDENTITY, ("seed", "", "seed of the cell")),
    *texts(
        OUTCOME,
        ("status", "what became of the cell; numbers stand with 'ok' alone"),
        ("error_type", "class of the error"),
        ("error_message", "what failed, or why the cell was skipped"),
    ),
    *texts(QUALITY, ("selection", "the epoch that top1 is of: last or validation")),
    *numbers(
        QUALITY,
        ("top1", "%", "test accuracy by selection; what rankings use"),
        ("top5", "%", "test images whose class is among the five most probable"),
        ("nll", "nats", "mean negative log-likelihood on test"),
        ("ece", "share from 0 to 1", "expected calibration error on test"),
        ("top1_last10", "%", "mean test accuracy of the last ten epochs"),
        ("top1_test_oracle", "%", "best test accuracy of any epoch; a peek at the test set, never ranked"),
        ("val_top1", "%", "validation accuracy of the selected epoch"),
        ("teacher_top1", "%", "test accuracy of the pair's teachers"),
        ("teacher_agreement", "%", "test images of which student and teacher predict the same class"),
        ("x_teacher_best_top1", "%", "test accuracy of the best of several teachers"),
        ("x_teacher_mean_top1", "%", "mean test accuracy of several teachers"),
    ),
    *integers(COST, ("epochs", "", "epochs trained")),
    *numbers(
        COST,
        ("train_seconds", "s", "the cell's own step time"),
        ("shared_seconds", "s", "its share of what was made once for several cells"),
        ("alone_seconds", "s", "what its training takes alone"),
        ("chain_seconds", "s", "alone_seconds of cells that must be trained before, plain teachers aside"),
        ("images_per_second", "1/s", "training images over alone_seconds"),
        ("x_train_images", "", "images in the data that the cell trains on"),
        ("x_teacher_parameters", "", "parameters of the teachers"),
        ("x_teacher_macs", "", "multiply-accumulate operations of the teachers, for one image"),
        ("x_parameter_ratio", "", "parameters of the teachers over those of what is deployed"),
        ("x_mac_ratio", "", "operations of the teachers over those of what is deployed"),
        ("x_latency_ratio", "", "time of one image through the teachers over that through what is deployed"),
    ),
    *integers(
        COST,
        ("group_size", "", "cells that were trained together"),
        ("peak_memory_bytes", "bytes", "the most that the cell's tensors hold at one time"),
        ("student_parameters", "", "parameters of what is deployed"),
        ("student_macs", "", "multiply-accumulate operations of what is deployed, for one image"),
    ),
    *numbers(
        PRIVACY,
        ("epsilon", "", "what the cell spent of the private images' privacy; inf without protection"),
        ("delta", "probability", "the delta of that budget"),
    ),
    *texts(PRIVACY, ("noise", "secret, or public where its seed is known")),
    *texts(
        PROVENANCE,
        ("method_package", "distribution or file that the method comes from"),
        ("method_revision", "revision that its plugin declares, its version, or its file's digest"),
        ("seen_data", "what pretrained weights behind the row were trained on"),
        ("device", "where it ran"),
        ("precision", "number format of training"),
        ("fingerprint", "hardware, releases and precision: within one, a cell gives the same bits"),
        ("teacher_cell", "keys of the cells that trained the pair's teachers, joined by '+'"),
        ("teacher_digest", "first digits of the SHA-256 of these teachers' weights"),
        ("source_cells", "keys of the cells whose networks it was taught by or began with, joined by '+'"),
        ("kdharness_version", "release that measured it"),
        ("torch_version", "release of torch"),
        ("started_at", "start, ISO 8601 in UTC"),
        ("finished_at", "end, ISO 8601 in UTC"),
    ),
)

METRICS: tuple[Column, ...] = (
    *texts(
        IDENTITY,
        ("cell", "key of the cell"),
        ("predictor", "the output that the number is of"),
        ("split", "the split that it was measured on"),
        ("metric", "the number's name"),
    ),
    *numbers(QUALITY, ("value", "the metric's", "the number")),
)

HISTORY: tuple[Column, ...] = (
    *texts(IDENTITY, ("cell", "key of the cell")),
    *integers(IDENTITY, ("epoch", "", "counted from 1 over the cell's whole training")),
    *texts(
        IDENTITY,
        ("split", "the split that the number was measured on"),
        ("predictor", "the output that it is of; of no output where it is a loss term's"),
        ("metric", "the number's name: a loss term, a curve of the method, a metric"),
    ),
    *numbers(QUALITY, ("value", "the metric's", "the number")),
)
