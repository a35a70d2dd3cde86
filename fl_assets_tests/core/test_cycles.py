"""Windows and intervals."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_assets.core.cycles import cron_lines, days_due, latest_worth, mode_of, window_of

DAY = date(2026, 11, 10)


def window(counts: list[int], required: int, max_days: int = 7):
    """`counts` are the events of DAY, the day before, …"""
    return window_of(
        DAY,
        lambda day: counts[(DAY - day).days] if (DAY - day).days < len(counts) else 0,
        required=required,
        max_days=max_days,
    )


def test_a_full_day_is_analysed_alone():
    assert window([1000, 1000], 1000).days == (DAY,)


def test_a_thin_day_takes_as_few_days_before_it_as_it_needs():
    found = window([400, 300, 300, 9000], 1000)
    assert found.days == (DAY - timedelta(days=2), DAY - timedelta(days=1), DAY)
    assert found.events == 1000
    assert found.is_sufficient


@pytest.mark.parametrize(
    ("counts", "back"),
    [
        ([], None),
        ([5], 0),
        ([1, 8595], 1),  # a clock that runs ahead
        ([1, 0, 2, 8595], 3),
        ([86, 8595], 0),  # few, and yet a day's telemetry
        ([1, 0, 0, 0, 0, 0, 0, 0, 0, 8595], 0),  # the busy day is too long ago to tell
        ([0, 1, 1, 1], 1),
        ([1500, 200_000], 0),  # a quiet Saturday
        ([99, 99, 200_000], 2),
    ],
)
def test_the_latest_day_is_one_with_more_than_stray_events(counts, back):
    events = {DAY - timedelta(days=place): count for place, count in enumerate(counts) if count}
    found = latest_worth(sorted(events), events.__getitem__, required=1000)
    assert found == (None if back is None else DAY - timedelta(days=back))


def test_a_window_never_exceeds_its_longest():
    found = window([1] * 30, 1000)
    assert len(found.days) == 7
    assert not found.is_sufficient


@given(st.lists(st.integers(0, 500), min_size=1, max_size=10), st.integers(1, 1500), st.integers(1, 7))
def test_one_day_less_would_not_do(counts, required, max_days):
    found = window(counts, required, max_days)
    assert found.is_sufficient == (counts[0] > 0 and sum(counts[:max_days]) >= required)
    if len(found.days) > 1:
        assert sum(counts[: len(found.days) - 1]) < required


@pytest.mark.parametrize(
    "interval",
    [secs for minutes in range(1, 1441) if 1440 % minutes == 0 and (secs := minutes * 60) < 86_400],
)
def test_cron_lines_fire_once_an_interval(interval):
    fired = set()
    for line in cron_lines(interval):
        minutes, hours, *rest = line.split()
        assert rest == ["*", "*", "*"]
        fired |= {int(hour) * 60 + int(minute) for hour in hours.split(",") for minute in minutes.split(",")}
    assert fired == set(range(0, 1440, interval // 60))


def test_a_day_is_asked_for_soon_after_it_ended():
    assert cron_lines(86_400) == ["15 0 * * *"]
    assert days_due(DAY, 86_400, start=date(2023, 1, 1)) == [DAY - timedelta(days=1)]


def test_below_a_day_today_is_asked_for():
    assert days_due(DAY, 3600, start=date(2023, 1, 1)) == [DAY]


@given(st.integers(1, 10))
def test_every_day_is_asked_for_exactly_once_by_whole_day_intervals(every):
    start = date(2026, 1, 1)
    asked = [
        day
        for tick in range(200)
        for day in days_due(start + timedelta(days=tick), every * 86_400, start=start)
    ]
    assert asked == [start + timedelta(days=number) for number in range(len(asked))]


def test_only_today_and_yesterday_are_live():
    assert [mode_of(DAY - timedelta(days=back), today=DAY) for back in range(3)] == [
        "live",
        "live",
        "backtest",
    ]
