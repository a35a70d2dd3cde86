"""What the project is to Dagster, by name: users select, schedule and link to these keys."""

from fl_assets.core.tables import WAREHOUSE_TABLES
from fl_assets.definitions import build

ASSETS = {
    "pulled_telemetry": (),
    "raw_traces": ("pulled_telemetry",),
    "conversation_logs": ("pulled_telemetry",),
    "quarantined_events": ("pulled_telemetry",),
    "error_records": (),
    "evaluations": ("pulled_telemetry",),
    "node_summaries": (),
    "failure_signatures": ("raw_traces", "node_summaries"),
    "conversation_signals": ("raw_traces", "conversation_logs", "node_summaries"),
    "node_registry": ("failure_signatures", "conversation_signals", "node_summaries"),
    "failure_patterns": ("failure_signatures", "conversation_signals", "error_records"),
    "pattern_consequences": ("failure_patterns", "evaluations"),
    "pattern_contrasts": ("failure_patterns", "evaluations"),
    "pattern_cures": ("failure_patterns", "evaluations"),
    "pattern_examples": ("failure_patterns", "evaluations"),
    "confidence_calibration": ("failure_patterns",),
    "playbooks": (
        "failure_patterns",
        "pattern_consequences",
        "pattern_contrasts",
        "pattern_cures",
        "pattern_examples",
        "update_outcomes",
    ),
    "adapter_catalogue": (),
    "update_outcomes": ("failure_patterns",),
    "update_decisions": ("playbooks", "adapter_catalogue", "update_outcomes"),
    "applied_updates": ("update_decisions",),
    "learning_cycles": ("update_decisions", "applied_updates", "update_outcomes"),
    "cycle_report": ("failure_patterns",),
    "raw_event_retention": ("failure_patterns",),
}
WITHOUT_AN_ASSET = {"call_totals", "pattern_members", "failure_families", "gate_verdicts"}
"""Tables that an asset of another name writes beside its own."""


def test_assets_and_what_they_depend_on_keep_their_keys():
    graph = build().resolve_asset_graph()
    found = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert found == {key: set(parents) for key, parents in ASSETS.items()}
    assert all(graph.get(key).is_materializable for key in graph.get_all_asset_keys())


def test_every_table_of_the_warehouse_is_an_asset_or_named_here():
    assert {table.name for table in WAREHOUSE_TABLES} - ASSETS.keys() == WITHOUT_AN_ASSET


def test_jobs_schedules_and_sensors_keep_their_names():
    defs = build()
    assert {job.name for job in defs.jobs} == {"learning_cycle", "apply_updates"}
    assert {one.name for one in defs.schedules} == {"daily_learning_cycle"}
    assert {one.name for one in defs.sensors} == {
        "minimum_events_reached",
        "approved_updates",
        "record_failed_cycles",
    }


def test_all_share_one_partitions_definition_and_the_last_step_of_a_cycle_is_retention():
    graph = build().resolve_asset_graph()
    assert len({repr(graph.get(key).partitions_def) for key in graph.get_all_asset_keys()}) == 1
    job = build().resolve_job_def("learning_cycle")
    priorities = {
        node.name: int(node.definition.tags.get("dagster/priority", "0")) for node in job.graph.nodes
    }
    assert min(priorities, key=lambda name: priorities[name]) == "raw_event_retention"


def test_what_deletes_events_stands_apart_from_what_reads_them():
    nodes = {node.key.to_user_string(): node for node in build().resolve_asset_graph().asset_nodes}
    assert nodes["raw_event_retention"].group_name != nodes["raw_traces"].group_name
