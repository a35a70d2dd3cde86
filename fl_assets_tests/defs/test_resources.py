"""Resources take nothing from a run; an asset of one's own reads result tables through one."""

import dagster as dg
import pytest

from fl_assets.definitions import build
from fl_assets.defs.resources import WarehouseResource, resources
from fl_assets_tests.conftest import LAST_DAY, settings_in


@pytest.mark.parametrize(
    ("resource", "config"),
    [
        ("workspace", {"overrides": {"apply": "on", "telemetry_path": "/"}}),
        ("workspace", {"alert_webhook": "https://evil.example"}),
        ("warehouse", {"database": "/tmp/other.duckdb"}),
        ("warehouse", {"lake": "/"}),
        ("warehouse", {"connection_config": {"allow_unsigned_extensions": "true"}}),
    ],
)
@pytest.mark.parametrize("job", ["learning_cycle", "apply_updates"])
def test_a_runs_configuration_sets_nothing(tmp_path, job, resource, config):
    wanted = build(settings_in(tmp_path)).resolve_job_def(job)
    asked = {"resources": {resource: {"config": config}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match="unexpected config entry"):
        wanted.execute_in_process(run_config=asked, partition_key=str(LAST_DAY))
    assert list(tmp_path.iterdir()) == []


def test_an_asset_of_ones_own_reads_the_tables(learned):
    @dg.asset
    def worst_pattern(warehouse: WarehouseResource) -> dg.MaterializeResult:
        with warehouse.get_connection() as connection:
            query = "select template, failures from failure_patterns order by failures desc limit 1"
            template, failures = connection.execute(query).fetchone()
        return dg.MaterializeResult(metadata={"template": template, "failures": failures})

    done = dg.materialize([worst_pattern], resources={"warehouse": resources(learned.config)["warehouse"]})
    (found,) = done.get_asset_materialization_events()
    assert found.materialization.metadata["failures"].value > 0
