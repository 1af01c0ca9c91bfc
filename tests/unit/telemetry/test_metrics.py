"""Numbers that several processes share, and how they are written for Prometheus."""

import os
import timeit

import pytest

from privyseal.telemetry import cells, exposition
from privyseal.telemetry.cells import REGION, Region, make_file, open_file
from privyseal.telemetry.metrics import Metrics
from support.exposition import parse


def test_processes_add_up() -> None:
    """Two writers and a reader on one memory; the reader writes nothing."""
    descriptor = make_file(3)
    for place, times in ((1, 3), (2, 4)):
        metrics = Metrics(descriptor, place)
        for _ in range(times):
            metrics.operation("key:sign", "ECDSA", "done", 700_000)
    families = parse(exposition.text({**Metrics(descriptor, 0).total()}))
    assert families["privyseal_operations_total"].value(operation="key:sign", mechanism="ECDSA") == 7
    durations = families["privyseal_operation_seconds"]
    assert durations.value("_count", operation="key:sign") == 7
    assert durations.value("_sum") == pytest.approx(0.0049)
    assert durations.value("_bucket", le="0.0005") == 0
    assert durations.value("_bucket", le="0.001") == 7
    os.close(descriptor)


def test_a_process_that_starts_again_goes_on_counting() -> None:
    """Its successor finds names and numbers, also where the last name was cut short by a crash."""
    descriptor = make_file(1)
    Metrics(descriptor).count("privyseal_a_total", 5)
    memory = open_file(descriptor)
    names = memory[cells.CELLS * 8 :]
    names[18:23] = b"torn{"
    metrics = Metrics(descriptor)
    metrics.count("privyseal_b_total", 2)
    metrics.count("privyseal_a_total")
    assert metrics.total() == {"privyseal_a_total": 6, "privyseal_b_total": 2}
    os.close(descriptor)


def test_a_full_region_counts_no_further() -> None:
    """It neither fails nor writes over other numbers."""
    region = Region(memoryview(bytearray(REGION)))
    places = [region.cell(f"name{number}") for number in range(cells.CELLS + 10)]
    assert places[: cells.CELLS - 1] == list(range(cells.CELLS - 1))
    assert set(places[cells.CELLS - 1 :]) == {cells.CELLS - 1}
    assert len(region.names()) == cells.CELLS - 1


def test_gauges_may_fall() -> None:
    """As a queue does."""
    metrics = Metrics()
    metrics.set("privyseal_keeper_queue", 7)
    metrics.set("privyseal_keeper_queue", 2)
    assert exposition.text(metrics.total()).splitlines()[-1] == "privyseal_keeper_queue 2"


def test_two_histograms_do_not_mix() -> None:
    """Each operation has its own buckets and count."""
    metrics = Metrics()
    for operation, durations in {"a:b": [1, 20_000_000_000], "c:d": [3_000_000]}.items():
        for duration in durations:
            metrics.operation(operation, None, "done", duration)
    family = parse(exposition.text(metrics.total()))["privyseal_operation_seconds"]
    assert family.value("_count", operation="a:b") == 2
    assert family.value("_bucket", operation="a:b", le="10") == 1
    assert family.value("_bucket", operation="c:d", le="0.005") == 1
    assert family.value("_count", operation="c:d") == 1


def test_label_values_are_escaped() -> None:
    """As the format says."""
    assert exposition.escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_every_family_is_named_as_users_expect() -> None:
    """Counters end in _total, and only they."""
    for name, (kind, words) in exposition.FAMILIES.items():
        assert name.endswith("_total") == (kind == "counter")
        assert words.endswith(".")


def test_counting_is_cheap() -> None:
    """Far under what anybody would notice of a signature; the bound is generous for a busy machine."""
    metrics = Metrics()
    best = min(timeit.repeat(lambda: metrics.operation("key:sign", "ECDSA", "done", 400_000), number=10_000, repeat=5))
    assert best / 10_000 < 20e-6
