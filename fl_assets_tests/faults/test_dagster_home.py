"""Faults of Dagster's own home: many processes at once on an empty one (numbers are those of the list in `docs/promises.md`)."""

import os
import subprocess
import sys

import pytest

from fl_assets.domain.settings import PREFIX
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.faults.test_cycles import paths_of

pytestmark = pytest.mark.faults

EIGHT = """
import os, sys, time
from fl_assets.coordinator import open_home
from fl_assets.domain.settings import FederatedLearningConfig
children = []
start = time.time() + 1
for _ in range(8):
    child = os.fork()
    if child == 0:
        time.sleep(max(0, start - time.time()))
        try:
            with open_home(FederatedLearningConfig.from_env()) as instance:
                instance.get_runs(limit=1)
                instance.get_asset_keys()
                instance.all_instigator_state()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
print(*(os.waitpid(child, 0)[1] for child in children))
"""


def test_case_44_eight_processes_that_meet_an_empty_home_all_find_it_ready(tmp_path):
    settings = settings_in(tmp_path / "data")
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environment |= {f"{PREFIX}{name.upper()}": value for name, value in paths_of(settings).items()}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", EIGHT], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["0"] * 8, "")
