"""Where partitions begin: at the day that was set, else with telemetry; never later than they did."""

from datetime import date, timedelta

from fl_assets.defs.partitions import daily_partitions
from fl_assets.infra.first_day import first_partition, remember
from fl_assets_tests.conftest import DAYS, settings_in

DAY = date(2026, 11, 9)


def test_days_begin_with_telemetry_and_only_move_back(tmp_path):
    settings = settings_in(tmp_path)
    assert first_partition(settings) == settings.start_date
    remember(settings, [DAY, DAY + timedelta(days=1)])
    assert first_partition(settings) == DAY
    remember(settings, [DAY + timedelta(days=3)])
    remember(settings, [])
    assert first_partition(settings) == DAY
    remember(settings, [DAY - timedelta(days=2)])
    assert daily_partitions(settings).get_first_partition_key() == str(DAY - timedelta(days=2))


def test_a_day_that_was_set_counts(tmp_path):
    settings = settings_in(tmp_path, start_date=date(2026, 10, 1))
    remember(settings, [DAY])
    assert first_partition(settings) == date(2026, 10, 1)


def test_a_damaged_file_is_as_good_as_none(tmp_path):
    settings = settings_in(tmp_path)
    remember(settings, [DAY])
    (tmp_path / "first-day").write_bytes(b"\xff\x00")
    assert first_partition(settings) == settings.start_date
    remember(settings, [DAY])
    assert first_partition(settings) == DAY


def test_ingestion_remembers_it(learned):
    unset = settings_in(learned.config.data_path)
    assert "start_date" not in unset.model_fields_set
    assert first_partition(unset) == DAYS[0]
