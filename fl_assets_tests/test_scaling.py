"""What docs/scaling.md projects is what the points say, and no point is measured twice."""

import numpy as np
import pytest

from benchmarks.scaling import (
    AXES,
    CORNER,
    DRIVERS,
    PLAIN,
    STEPS,
    at,
    drivers_of,
    failed_call,
    fit,
    missing,
    project,
    word,
)


def measured(events: int, *, nodes: int = 50, days: int = 1, messages: int = 0, cpu=lambda _: 1.0) -> dict:
    one = {
        "events": events,
        "nodes": nodes,
        "days": days,
        "added_messages": messages,
        "json_mb": events * days * 500e-6,
        "lake_mb": events * days * 50e-6,
        "lake_files": days,
    }
    one |= {
        "sums": events / 100,
        "messages": 50 + messages,
        "patterns": 40 + messages,
        "node_days": nodes * days,
        "commit": "c",
    }
    return one | {"steps": {name: {"cpu": cpu(drivers_of(one)), "mb": 100.0} for name in STEPS}}


def grid(cpu) -> list[dict]:
    varied = [PLAIN | {axis: value} for axis, values in AXES.items() for value in values]
    return [measured(events, cpu=cpu) for events in (100_000, 1_000_000)] + [
        measured(100_000, **one, cpu=cpu) for one in [*varied, CORNER]
    ]


@pytest.mark.parametrize("names", sorted(set(DRIVERS.values())))
def test_a_cost_made_of_its_drivers_gives_back_its_prices(names):
    prices = {name: 1e-6 * (place + 2) for place, name in enumerate(names)}
    points = grid(lambda drivers: 0.5 + sum(price * drivers[name] for name, price in prices.items()))
    found = fit([drivers_of(one) for one in points], [one["steps"]["ingest"]["cpu"] for one in points], names)
    assert found["start"] == pytest.approx(0.5, rel=1e-3)
    assert found["per"] == pytest.approx(prices, rel=1e-3)
    assert (found["r2"], found["worst"]) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-6))
    assert at(found, dict.fromkeys(prices, 1e6)) == pytest.approx(0.5 + sum(prices.values()) * 1e6, rel=1e-3)


def test_noise_never_gives_a_negative_price_and_shows_in_the_errors():
    rows = [{"events": float(events)} for events in (1e5, 3e5, 1e6)]
    found = fit(rows, [1.2, 1.0, 1.1], ("events",))
    assert found["start"] > 0
    assert found["per"]["events"] >= 0
    assert 0 < found["worst"] < 0.2
    assert found["r2"] < 0.5


def test_a_point_that_is_there_is_not_measured_again():
    plan = [(100, PLAIN), (300, PLAIN), (100, PLAIN | {"nodes": 10}), (100, PLAIN)]
    assert missing(plan, []) == plan[:3]
    assert missing(plan, [measured(100), measured(300)]) == [plan[2]]
    assert missing(plan, [measured(100, nodes=10), measured(100, days=7)]) == plan[:2]


def test_a_projection_adds_up_what_the_fits_say():
    points = grid(lambda drivers: 1.0 + 40e-6 * drivers["events"])
    fits = {
        name: {
            "cpu": {"start": 0.0, "per": dict.fromkeys(DRIVERS[name], 0.0)},
            "mb": {"start": 100.0, "per": {}},
        }
        for name in STEPS
    }
    fits["ingest"]["cpu"]["per"]["events"] = 36e-6
    fits["patterns"]["mb"]["per"] = {"cells": 1e-4}
    target = {
        "events": 10**9,
        "nodes": 1000,
        "sums": 100_000,
        "messages": 5000,
        "patterns": 1000,
        "days": 28,
        "keep": 30,
    }
    found = project(points, fits, target, {"vcpu_hour": 0.05, "disk_month": 0.1, "object_month": 0.025})
    assert found["cpu_hours"] == pytest.approx(10.0)
    assert found["usd_cpu_day"] == pytest.approx(0.5)
    assert found["mb"]["patterns"] == pytest.approx(100 + 1e-4 * 1000 * 1000 * 28)
    assert (found["json_gb"], found["lake_gb"]) == (pytest.approx(500), pytest.approx(50))
    assert found["rounds"] == int(np.ceil(500e9 / (8 * 1024**3)))
    assert found["usd_disk_month"] == pytest.approx(50 * 30 * 0.1)


def test_added_messages_are_all_different():
    errors = {
        failed_call("x", 0, f"{word(number * 7919 + 11)} {word(number * 104_729 + 5)}", 0)
        for number in range(50_000)
    }
    assert len(errors) == 50_000
    assert not any(character.isdigit() for number in range(1000) for character in word(number))
