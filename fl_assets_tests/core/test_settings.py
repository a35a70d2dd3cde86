"""Settings.

Every default of the contract, and every bad value an error that names variable, value and rule.
"""

import os
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_assets.core.settings import DAY_SECS, PREFIX, FederatedLearningConfig, SettingsError


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


def test_what_is_written_is_below_the_data_folder(tmp_path):
    settings = read(data_path=tmp_path)
    assert settings.playbook_path == tmp_path / "federated-learning" / "playbooks"
    assert settings.lake_path == tmp_path / "lake"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("TRUE", True),
        ("Yes", True),
        ("on", True),
        ("0", False),
        ("False", False),
        ("no", False),
        ("OFF", False),
    ],
)
def test_switches_are_read_in_any_case(monkeypatch, text, value):
    monkeypatch.setenv("FEDERATED_LEARNING_ENABLED", text)
    assert read().enabled is value


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("ENABLED", "maybe", "1/true/yes/on"),
        ("CYCLE_INTERVAL_SECS", "7000", "multiple of 86400"),
        ("CYCLE_INTERVAL_SECS", "45", "must be a whole number of at least 60"),
        ("CYCLE_INTERVAL_SECS", "100000", "multiple of 86400"),
        ("MIN_EVENTS", "0", "must be a whole number of at least 1;"),
        (
            "MIN_EVENTS",
            "many",
            "must be a whole number of at least 1; fix it, or unset it for the default 1000",
        ),
        ("THRESHOLD", "1.5", "must be a number above 0 and at most 1"),
        ("THRESHOLD", "nan", "must be a number above 0 and at most 1"),
        ("START_DATE", "yesterday", "must be a day, e.g. 2026-11-01"),
        ("MIN_NODES", "0", "must be a whole number of at least 1"),
        ("RETENTION_DAYS", "3", "at least FEDERATED_LEARNING_MAX_WINDOW_DAYS (7)"),
        ("APPLY", "always", "must be off, stage, canary or on"),
    ],
)
def test_a_bad_value_names_variable_value_and_rule(monkeypatch, name, value, rule):
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        read()
    assert PREFIX + name in str(caught.value)
    assert repr(value) in str(caught.value)
    assert rule in str(caught.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MIN_EVENST", "MIN_EVENTS"),
        ("TRESHOLD", "THRESHOLD"),
        ("UPDATE_POLICY", "UPDATE_POLICY_PATH"),
        ("REQUIRE_SIGNATURES", "REQUIRE_SIGNATURE"),
    ],
)
def test_a_misspelt_variable_is_an_error_that_names_the_nearest(monkeypatch, name, nearest):
    monkeypatch.setenv(PREFIX + name, "1")
    with pytest.raises(
        SettingsError, match=f"^{PREFIX}{name}: unknown setting; did you mean {PREFIX}{nearest}\\?$"
    ):
        read()


def test_a_variable_that_is_like_none_is_an_error_too(monkeypatch):
    monkeypatch.setenv("FEDERATED_LEARNING_XYLOPHONE", "1")
    monkeypatch.setenv("OTHER_LEARNING_MIN_EVENST", "1")
    monkeypatch.setenv("federated_learning_min_events", "7")
    with pytest.raises(
        SettingsError,
        match=r"^FEDERATED_LEARNING_XYLOPHONE: unknown setting; unset it \(docs/settings.md lists all\)$",
    ):
        read()
    monkeypatch.delenv("FEDERATED_LEARNING_XYLOPHONE")
    assert read().min_events == 7, "any case will do"


def test_no_words_of_a_library_reach_the_reader(monkeypatch):
    for name in FederatedLearningConfig.model_fields:
        monkeypatch.setenv(PREFIX + name.upper(), "\x01?")
    with pytest.raises(SettingsError) as caught:
        read()
    lines = str(caught.value).splitlines()
    assert len(lines) > 20
    for line in lines:
        assert re.match(rf"{PREFIX}[A-Z_]+=.+: must be .*; fix it, or unset it", line), line
        assert "Input should" not in line


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
