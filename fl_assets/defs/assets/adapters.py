"""The adapter catalogue: versions that sources offer and that are installed, with the rules they break.

What goes here: the wiring of `adapters/store.py`. What does not: the rules of admission
(`adapters/admission.py`), installing and switching.
"""

import dagster as dg

from fl_assets.adapters.folder import AdapterStoreError
from fl_assets.adapters.store import AdapterStore, InstalledAdapter
from fl_assets.defs.metadata import check_result, numbers, preview, table_asset
from fl_assets.defs.partitions import DAILY, days_of
from fl_assets.defs.per_day import evaluate_per_day, report_day
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.infra.clock import now_utc

GROUP = "updates"
_SHOWN = ("adapter_id", "version", "expires", "refusals")
_INSTALLED = ("adapter_id", "version", "is_current", "expires")
NO_SOURCE = "no adapter source is configured, and none is installed: docs/adapters.md says how to name one"
NOTHING_OFFERED = "the sources answered and offer nothing, and no adapter is installed"


@dg.asset(**table_asset("adapter_catalogue", GROUP))
@without_secrets
def adapter_catalogue(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Adapter versions that sources offer now, with the admission rules each breaks; installs nothing."""
    space = workspace.open()
    offered = space.adapters.observe(now=now_utc())
    versions, _ = _installed(space.adapters)
    installed = [one.model_dump() | {"path": str(one.path)} for one in versions]
    rows = [one.model_dump() for one in offered]
    sums = {
        "offered": len(rows),
        "admissible": sum(not one.refusals for one in offered),
        "installed": len(installed),
        "in_use": sum(one.is_current for one in versions),
    }
    parts = (("catalogue", rows, _SHOWN), ("installed_versions", installed, _INSTALLED))
    nothing = NOTHING_OFFERED if space.settings.adapter_repos or space.settings.adapter_url else NO_SOURCE
    for day in days_of(context.partition_keys):
        count = space.catalogue.replace(day, offered)
        tables = {name: preview(some, columns) for name, some, columns in parts if some}
        shown = {**numbers(sums), **tables} if tables else {"nothing_here": nothing}
        report_day(context, day, "adapter_catalogue", count, shown)


@dg.asset_check(asset=adapter_catalogue, partitions_def=DAILY)
@without_secrets
def adapter_freshness(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """Every source answers, the adapter folder is intact, and no manifest, offered or in use, has expired."""
    space, today = workspace.open(), str(now_utc().date())
    last = days_of(context.partition_keys)[-1]  # every day of a run has the same catalogue
    offered = space.warehouse.read_day("adapter_catalogue", last)
    stale = [
        {**row, "problem": problem}
        for row in offered
        for problem in row["refusals"]
        if problem.startswith(("source:", "not_expired:"))
    ]
    installed, problem = _installed(space.adapters)
    for one in installed:
        if one.is_current and one.expires <= today:
            expired = f"in use, and its manifest expired on {one.expires}"
            stale.append({"adapter_id": one.adapter_id, "version": one.version, "problem": expired})
    if problem:
        stale.append({"adapter_id": "", "version": "", "problem": problem})
    found = check_result(
        stale,
        ("adapter_id", "version", "problem"),
        numbers={"stale": len(stale)},
        failed="expected answering sources and manifests that hold; found: "
        + ", ".join("{adapter_id} {version}: {problem}".format_map(one) for one in stale[:1]),
        passed=f"{len(offered)} versions offered, {len(installed)} installed, none expired",
    )
    return evaluate_per_day(context, lambda _: found)


def _installed(adapters: AdapterStore) -> tuple[list[InstalledAdapter], str]:
    """Return the installed versions, or why the folder cannot be read, which must not stop a cycle."""
    try:
        return adapters.installed(), ""
    except AdapterStoreError as error:
        return [], str(error)
