"""Resources take nothing from a run; an asset of one's own reads result tables through one."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fl_assets.definitions import build
from fl_assets.defs.resources import resources
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


def test_the_asset_of_ones_own_in_the_docs_reads_the_tables(learned):
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    module: dict[str, Any] = {}
    exec(code, module)
    keys = module["defs"].resolve_asset_graph().get_all_asset_keys()
    assert {dg.AssetKey("worst_pattern"), dg.AssetKey("playbooks")} <= set(keys)
    given = {"warehouse": resources(learned.config)["warehouse"]}
    (found,) = dg.materialize([module["worst_pattern"]], resources=given).get_asset_materialization_events()
    assert found.materialization.metadata["failures"].value > 0
