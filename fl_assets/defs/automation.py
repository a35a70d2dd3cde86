"""Jobs, the daily schedule, and the sensors that start cycles and record failed ones.

What goes here: wiring of Dagster's clock and daemon. What does not: which days are due (`core/cycles.py`,
`events/index.py`). All run by default, say why when they skip, and can be switched off in the UI.
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg

from fl_assets.core.cycles import cron_lines, days_due
from fl_assets.core.settings import DAY_SECS, FederatedLearningConfig
from fl_assets.defs.launcher import AGAIN, FIRST_OF_RANGE
from fl_assets.defs.partitions import DAILY, DAYS_PER_RUN
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.infra.clock import now_utc
from fl_assets.infra.first_day import first_partition, remember
from fl_assets.report.alerts import notify_failure
from fl_assets.updates.history import fold
from fl_assets.updates.rollout import intent_of, open_releases

DISABLED = "federated learning is switched off: set FEDERATED_LEARNING_ENABLED=true to let it run"

learning_cycle_job = dg.define_asset_job(
    "learning_cycle",
    selection=dg.AssetSelection.all(),
    description="One learning cycle: telemetry in, playbooks and gated update decisions out.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": str(6 * 3600), **AGAIN},
)


def cycle_schedule(settings: FederatedLearningConfig) -> dg.ScheduleDefinition:
    """Return the schedule: yesterday after midnight UTC, n days every n days, or today more often."""
    lines = cron_lines(settings.cycle_interval_secs)

    @dg.schedule(
        name="daily_learning_cycle",
        job=learning_cycle_job,
        cron_schedule=lines[0] if len(lines) == 1 else lines,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Runs yesterday's cycle at 00:15 UTC, or at the pace of "
        "FEDERATED_LEARNING_CYCLE_INTERVAL_SECS.",
    )
    @without_secrets
    def daily_learning_cycle(
        context: dg.ScheduleEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now = context.scheduled_execution_time
        if not FederatedLearningConfig.from_env().enabled:
            yield dg.SkipReason(DISABLED)
            return
        first = first_partition(settings)
        days = days_due(now.date(), settings.cycle_interval_secs, start=first)
        if not days:
            every = settings.cycle_interval_secs // DAY_SECS
            yield dg.SkipReason(
                f"a cycle runs every {every} days, counted from {first}; {now.date()} is not one of them"
            )
        for day in days:
            yield dg.RunRequest(run_key=f"schedule-{now:%Y-%m-%dT%H:%M}-{day}", partition_key=str(day))

    return daily_learning_cycle


@dg.sensor(
    job=learning_cycle_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts cycles once days have FEDERATED_LEARNING_MIN_EVENTS new events in all.",
)
@without_secrets
def minimum_events_reached(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.SensorResult:
    """Request one run per day with new events, once there are FEDERATED_LEARNING_MIN_EVENTS of them."""
    space = workspace.open()
    if not space.settings.enabled:
        return dg.SensorResult(skip_reason=DISABLED)
    backlog, required = space.intake.backlog(), space.settings.min_events
    if backlog.events < required:
        return dg.SensorResult(
            skip_reason=f"{backlog.events} of {required} events, {required - backlog.events} to go"
        )
    days = [entry for entry in backlog.days if DAILY.has_partition_key(str(entry.day))]
    first = DAILY.get_first_partition_key() or ""
    too_early = [entry.day for entry in backlog.days if str(entry.day) < first]
    if too_early:
        context.log.warning(
            f"{len(too_early)} days with new events lie before the first partition "
            f"{first}, from {too_early[0]} on: they become partitions when the "
            "code location is reloaded, or FEDERATED_LEARNING_START_DATE is set to an earlier day"
        )
        remember(space.settings, too_early)
    requests = [
        dg.RunRequest(run_key=f"{entry.day}:{entry.token}", partition_key=str(entry.day))
        for entry in days[:DAYS_PER_RUN]
    ]
    context.log.info(
        f"{backlog.events} events on {len(days)} days have not been analysed; asking for {len(requests)} "
        "of them, oldest first"
    )
    # Run keys name the content, so no cursor is needed; this one is for whoever debugs a tick.
    return dg.SensorResult(run_requests=requests, cursor=f"{backlog.events} events on {len(days)} days")


apply_updates_job = dg.define_asset_job(
    "apply_updates",
    selection=["applied_updates", "cycle_report"],
    description="Takes answers to decisions of a day (the launchpad asks for them), carries out what is "
    "approved, and brings the report up to date.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "3600"},
)


@dg.sensor(
    job=apply_updates_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Carries out decisions that a person has approved, on canary nodes first.",
)
@without_secrets
def approved_updates(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
    """Request a run per approval, of the decision's day; again after each step of a trial, while it waits."""
    space = workspace.open()
    if not space.settings.enabled:
        return dg.SensorResult(skip_reason=DISABLED)
    intent, events = intent_of(space.updates), open_releases(space.updates).events()
    waiting = [one for one in fold(events).values() if one.status == "approved" and intent.holds(one)]
    cursor = str(len(waiting))
    if not waiting:
        return dg.SensorResult(
            skip_reason="no approved decision waits; `fl-assets approve ID --reason WHY` approves one",
            cursor=cursor,
        )
    if cursor != context.cursor:
        context.log.info(f"{len(waiting)} approved decisions wait to be carried out")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"approved-{one.update.decision_id}-{one.approval}-{len(events)}",
                partition_key=str(one.update.day),
            )
            for one in waiting
        ],
        cursor=cursor,
    )


@dg.run_failure_sensor(
    name="record_failed_cycles",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks the cycle of a run that died as failed, and sends the alert.",
)
@without_secrets
def record_failed_cycles(context: dg.RunFailureSensorContext, workspace: WorkspaceResource) -> None:
    """Close the rows that a failed run, of the job or a backfill, left open, and send an alert."""
    space, run_id = workspace.open(), context.dagster_run.run_id
    reason = first_line(context.failure_event.message or "the run failed")
    days = space.cycles.fail_open(run_id, reason)
    if not days and context.dagster_run.job_name != learning_cycle_job.name:
        return
    if problem := notify_failure(space.settings, run_id, days[-1] if days else now_utc().date(), reason):
        context.log.warning(problem)


def first_line(text: str) -> str:
    """Return the first line of a message, cut to what fits a table cell."""
    return text.strip().splitlines()[0][:300] if text.strip() else ""


def range_tags(first: date, last: date) -> dict[str, str]:
    """Return the run tags that make one run of the days from `first` to `last`."""
    return {FIRST_OF_RANGE: str(first), "dagster/asset_partition_range_end": str(last)}
