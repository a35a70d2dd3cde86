"""Tests of fl_assets.

Partitions are made when the definitions are imported, and begin with the telemetry below ./data when that is
known; those of the tests begin early, whatever was run in this checkout before.
"""

import os

os.environ["FEDERATED_LEARNING_START_DATE"] = "2023-01-01"
