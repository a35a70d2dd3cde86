"""Settings: every default of the contract, and every bad value an error that names variable, value and rule."""

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_assets.domain.settings import DAY_SECS, PREFIX, FederatedLearningConfig, SettingsError


def read(**overrides) -> FederatedLearningConfig:
    return FederatedLearningConfig.from_env(**overrides)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_contract():
    settings = read()
    assert settings.enabled is True
    assert settings.cycle_interval_secs == 86_400
    assert settings.min_events == 1000
    assert settings.threshold == 0.7
    assert settings.telemetry_path == Path("./data/telemetry/cache")
    assert settings.playbook_path == Path("./data/federated-learning/playbooks")
    assert settings.start_date == date(2023, 1, 1)


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("TRUE", True), ("Yes", True), ("on", True), ("0", False), ("False", False), ("no", False), ("OFF", False)]
)
def test_switches_are_read_in_any_case(monkeypatch, text, value):
    monkeypatch.setenv("FEDERATED_LEARNING_ENABLED", text)
    assert read().enabled is value


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("ENABLED", "maybe", "1/true/yes/on"),
        ("CYCLE_INTERVAL_SECS", "7000", "multiple of 86400"),
        ("CYCLE_INTERVAL_SECS", "45", "greater than or equal to 60"),
        ("CYCLE_INTERVAL_SECS", "100000", "multiple of 86400"),
        ("MIN_EVENTS", "0", "greater than or equal to 1"),
        ("MIN_EVENTS", "many", "valid integer"),
        ("THRESHOLD", "1.5", "less than or equal to 1"),
        ("THRESHOLD", "nan", "less than or equal to 1"),
        ("START_DATE", "yesterday", "date"),
        ("MIN_NODES", "1", "greater than or equal to 2"),
        ("RETENTION_DAYS", "3", "at least FEDERATED_LEARNING_MAX_WINDOW_DAYS (7)"),
        ("APPLY", "always", "'off', 'stage', 'canary' or 'on'"),
    ],
)
def test_a_bad_value_names_variable_value_and_rule(monkeypatch, name, value, rule):
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        read()
    assert PREFIX + name in str(caught.value)
    assert repr(value) in str(caught.value)
    assert rule in str(caught.value)


def test_all_bad_values_are_told_at_once(monkeypatch):
    monkeypatch.setenv("FEDERATED_LEARNING_MIN_EVENTS", "x")
    monkeypatch.setenv("FEDERATED_LEARNING_THRESHOLD", "y")
    with pytest.raises(SettingsError) as caught:
        read()
    assert len(str(caught.value).splitlines()) == 2


@given(st.integers(1, 40))
def test_whole_days_are_an_interval(days):
    assert read(cycle_interval_secs=days * DAY_SECS).cycle_interval_secs == days * DAY_SECS


@given(st.integers(1, 3 * DAY_SECS))
def test_an_interval_fits_days_or_is_refused(seconds):
    fits = seconds % DAY_SECS == 0 or (DAY_SECS % seconds == 0 and seconds % 60 == 0)
    try:
        read(cycle_interval_secs=seconds)
    except SettingsError:
        assert not fits
    else:
        assert fits
