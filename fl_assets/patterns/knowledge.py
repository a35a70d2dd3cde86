"""What the fleet knows of a day's failures, from one pass over a window's calls.

What goes here: the order of the statements. What does not: the statements (`calls.py`, `call_sums.py`), what
is made of their sums.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fl_assets.core.tables import PATTERN_CONSEQUENCES, PATTERN_CONTRASTS, PATTERN_CURES, PATTERN_EXAMPLES
from fl_assets.infra.json_text import lenient_json
from fl_assets.patterns import call_sums
from fl_assets.patterns.calls import FEATURES_SQL, PAIRS_SQL, UNIVERSE_SQL, open_calls
from fl_assets.patterns.consequences import consequences
from fl_assets.patterns.contrasts import contrasts
from fl_assets.patterns.cures import cures
from fl_assets.patterns.judged import NO_EVALUATIONS, judged_sql
from fl_assets.patterns.services import PLAIN_SERVICES_SQL, ROUTES_SQL, neighbours_sql
from fl_assets.patterns.stated import Stated, stated

MAX_NODES = 10
MAX_MESSAGE_CHARS = 600
_OWNED = r"user|account|customer|profile|member|client|wallet|balance|payment|billing"
LOOKUPS = {
    "lookup": ("", "^$", 0.5),
    "search": (r"(?:^|_)(?:search|find|list|query|browse|avail|check|quote|offers?)", _OWNED, 0.3),
    "profile": (_OWNED, "^$", 0.3),
}
"""Reading calls to name (any, one of what is offered, one of what somebody owns): a pattern of the name, one
that it must not have, and the least share of the successful calls that come after it."""
BLAMED_SHARE = 0.6
"""Share of a family's messages that must name an argument before it is the one to look at."""
_GAP = "\n[…]\n"
MAX_FLAGS, MAX_EXCEPTIONS = 4, 5
_FLAGS = re.compile(r"(?:^|\s)(-{1,2}[A-Za-z][A-Za-z-]{0,30})(?=\s|$|=)", re.ASCII)
_SIGNS = (
    ("several commands", re.compile(r"&&|;|\n[a-z]")),
    ("a pipe", re.compile(r"\|")),
    ("text passed with <<", re.compile(r"<<")),
)
GIVEN_ALWAYS = 0.95
"""Share of the successful calls that give an argument, from which it is called required."""


@dataclass(frozen=True)
class Knowledge:
    """Rows of the four tables of advice, without the day."""

    consequences: pd.DataFrame
    contrasts: pd.DataFrame
    cures: pd.DataFrame
    examples: pd.DataFrame


NOTHING_KNOWN = Knowledge(
    *(
        pd.DataFrame(columns=table.day_columns)
        for table in (PATTERN_CONSEQUENCES, PATTERN_CONTRASTS, PATTERN_CURES, PATTERN_EXAMPLES)
    )
)


def learn_from(
    connection: Any,
    source: str,
    family_of: Mapping[str, str],
    *,
    events: int,
    min_nodes: int,
    evaluations: str = NO_EVALUATIONS,
) -> Knowledge:
    """Ask a window's calls what its failures cost, what is different about them, and what worked.

    Args:
        connection: To DuckDB; temporary tables are made in it.
        source: A relation with the columns of `raw_traces`.
        family_of: Family of each masked message.
        events: Events in the window; of many, a share of the sessions is drawn.
        min_nodes: Nodes (and sessions) that must have a thing before it is named.
        evaluations: A relation with the columns of `evaluations`: how sessions ended, where it says so.
    """
    open_calls(connection, source, family_of, events=events)
    for statement in (judged_sql(evaluations), FEATURES_SQL, UNIVERSE_SQL, PAIRS_SQL):
        connection.execute(statement)

    def read(sql: str) -> pd.DataFrame:
        return connection.execute(sql).df()

    found = contrasts(
        read(call_sums.TOTALS_SQL),
        read(call_sums.CONTRASTS_SQL),
        read(call_sums.NODE_RATES_SQL),
        read(call_sums.NUMBERS_SQL),
        min_nodes=min_nodes,
    )
    worked = cures(
        read(call_sums.PAIR_TOTALS_SQL),
        read(call_sums.CHANGES_SQL),
        read(call_sums.INSTEAD_SQL),
        found,
        min_nodes=min_nodes,
    )
    return Knowledge(
        _costs(connection, source, min_nodes), found, worked, _examples(read(call_sums.examples_sql(source)))
    )


def _costs(connection: Any, source: str, min_nodes: int) -> pd.DataFrame:
    """Return the rows of `pattern_consequences`: what failures cost, and by what a family can be named."""

    def read(sql: str) -> pd.DataFrame:
        return connection.execute(sql).df()

    costs = consequences(read(call_sums.CONSEQUENCES_SQL))
    families = costs["family_id"].tolist()
    costs = costs.assign(**_stated_of(families, read(call_sums.TEXTS_SQL), min_nodes))
    failing = read(call_sums.NODES_SQL).groupby("family")["node_id"]
    costs["node_ids"] = costs["family_id"].map(failing.agg(lambda names: list(names)[:MAX_NODES]).to_dict())
    loops = read(call_sums.LOOPS_SQL).set_index("family").to_dict()
    for column in ("looped", "looped_nodes"):
        costs[column] = [loops[column].get(family, 0) for family in families]
    costs = costs.merge(read(call_sums.EPISODES_SQL), on="family_id", how="left")
    connection.execute(f"create temp table fl_plain as {PLAIN_SERVICES_SQL}")
    plain = set(read("select family from fl_plain")["family"])
    costs["is_agent"] = [family not in plain for family in families]
    # Names of arguments are a tool's own: a fleet of fewer nodes than that hides them from nobody.
    reporting = connection.execute("select count(distinct node_id) from fl_calls").fetchone()[0]
    least = max(1, min(min_nodes, reporting))
    arguments = read(call_sums.NAMED_ARGUMENTS_SQL)
    reads = read(call_sums.LOOKUPS_SQL)
    names = _names(read, source, reads, min_nodes) | {"argument": _blamed(arguments, least)}
    for column, name_of in names.items():
        costs[column] = [name_of.get(family, "") for family in families]
    costs["read_before"] = [
        json.dumps(
            _read_before(reads[reads["family"] == family], {names[one].get(family) for one in LOOKUPS})
        )
        for family in families
    ]
    raised = read(call_sums.RAISED_SQL).set_index("family").to_dict()
    for column in ("traces", "raised_by_itself"):
        costs[column] = [raised[column].get(family, 0) for family in families]
    objects = {
        "exceptions": _exceptions(read(call_sums.EXCEPTIONS_SQL), min_nodes),
        "arguments": _arguments(read(call_sums.ARGUMENTS_SQL), least),
    }
    for column, object_of in objects.items():
        costs[column] = [json.dumps(object_of.get(family, {})) for family in families]
    return costs


def _stated_of(families: Sequence[str], texts: pd.DataFrame, min_nodes: int) -> dict[str, pd.Series]:
    """Return the columns of the limits and waits that the errors of families state."""
    of_family = {
        family: stated(rows.itertuples(index=False, name=None), min_nodes=min_nodes)
        for family, rows in texts.groupby("family")[["error", "told"]]
    }
    found = [of_family.get(family, Stated()) for family in families]
    return {
        "stated_limit": pd.Series([one.limit for one in found], dtype="float64"),
        "stated_unit": pd.Series([one.unit for one in found], dtype="object"),
        "stated_wait_ms": pd.Series([one.wait_ms for one in found], dtype="float64"),
    }


def _names(
    read: Callable[[str], pd.DataFrame], source: str, reads: pd.DataFrame, min_nodes: int
) -> dict[str, Mapping[str, str]]:
    """Return what families can be named by beside their failures: calls before them, and other services.

    A service that reports calls of its own has a name that may be shown, on however few nodes.
    """
    services, routes, beside = (
        read(statement).assign(nodes=min_nodes)
        for statement in (call_sums.DEPENDENCIES_SQL, ROUTES_SQL, neighbours_sql(source))
    )
    return {
        **{column: _lookups(reads, *rule, min_nodes) for column, rule in LOOKUPS.items()},
        "dependency": _blamed(routes, min_nodes) | _blamed(services, min_nodes),
        **{side: _blamed(beside[beside["side"] == side], min_nodes) for side in ("caller", "callee")},
    }


def _lookups(rows: pd.DataFrame, words: str, without: str, share: float, min_nodes: int) -> dict[str, str]:
    """Return, by family, the reading call to name, of those that `share` of the successes come after.

    One that has a word of the messages in its name comes first, then one that is called before these calls
    more often than in other sessions: what every session begins with says nothing.
    """
    usual = rows[(rows["before_success"] >= share * rows["succeeded"]) & (rows["nodes"] >= min_nodes)]
    names = usual["method"].str
    usual = usual[names.contains(words, case=False) & ~names.contains(without, case=False)]
    return usual.drop_duplicates("family").set_index("family")["method"].to_dict()


def _read_before(rows: pd.DataFrame, named: set[str | None]) -> dict[str, list[int]]:
    """Return, by reading call that is named, the first failures of a session after it, and all of them."""
    return {
        row["method"]: [int(row["before_failure"]), int(row["failed"])]
        for row in rows[rows["method"].isin(named - {None})].to_dict("records")
    }


def _exceptions(rows: pd.DataFrame, min_nodes: int) -> dict[str, dict[str, float]]:
    """Return, by family, the share of its failures by type of exception, most frequent first."""
    found: dict[str, dict[str, float]] = {}
    for row in rows[(rows["name"] != "") & (rows["nodes"] >= min_nodes)].to_dict("records"):
        found.setdefault(row["family"], {})[row["name"]] = round(row["times"] / row["failures"], 4)
    return {family: dict(list(types.items())[:MAX_EXCEPTIONS]) for family, types in found.items()}


def _blamed(rows: pd.DataFrame, min_nodes: int) -> dict[str, str]:
    """Return, by family, the one argument or service that most of its messages name."""
    most = rows[(rows["times"] >= BLAMED_SHARE * rows["failures"]) & (rows["nodes"] >= min_nodes)]
    return most.groupby("family")["name"].agg(list).loc[lambda names: names.str.len() == 1].str[0].to_dict()


def _arguments(rows: pd.DataFrame, min_nodes: int) -> dict[str, dict[str, str]]:
    """Return the argument types of each family that fails in one method, `?` after an optional one."""
    single = rows.groupby("family")["method"].transform("nunique") == 1
    found: dict[str, dict[str, str]] = {}
    for row in rows[single & (rows["nodes"] >= min_nodes)].to_dict("records"):
        often = row["given"] >= GIVEN_ALWAYS * row["calls"]
        found.setdefault(row["family"], {})[row["name"]] = row["type"] + ("" if often else "?")
    return found


def _examples(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of pattern_examples: arguments by type, long messages cut."""
    rows = rows.rename(columns={"family": "family_id", "success": "succeeded"})
    rows["message"] = rows["error"].map(without_middle)
    rows["arguments"] = [json.dumps(_types(text)) for text in rows["arguments"]]
    rows["rank"] = rows.groupby("family_id").cumcount() + 1
    return rows[PATTERN_EXAMPLES.day_columns]


def _types(arguments: object) -> dict[str, str]:
    if not isinstance(arguments, str):
        return {}
    try:
        fields = lenient_json(arguments.encode("utf-8", "replace"))
    except ValueError:
        return {"command": _shape(arguments)}
    if not isinstance(fields, dict):
        return {}
    given = [(name, value) for name, value in fields.items() if value is not None]
    return {
        name.encode("utf-8", "replace").decode(): TYPES.get(type(value).__name__, "value")
        for name, value in given[:20]
    }


def _shape(command: str) -> str:
    """Return what a command looks like without its words: size, options, and how it is put together."""
    parts = [f"{len(command)} characters", *dict.fromkeys(_FLAGS.findall(command[:2000]))]
    parts[MAX_FLAGS + 1 :] = []
    parts += [word for word, sign in _SIGNS if sign.search(command)]
    return f"text ({', '.join(parts)})"


def without_middle(message: str, most: int = MAX_MESSAGE_CHARS) -> str:
    """Return a message with its middle left out when it is long: the cause of a trace is its last line."""
    message = message.replace("\r\n", "\n").strip()
    if len(message) <= most:
        return message
    head = most // 3
    return f"{message[:head]}{_GAP}{message[head + len(_GAP) - most :]}"


TYPES = {
    "str": "text",
    "int": "number",
    "float": "number",
    "bool": "switch",
    "list": "list",
    "dict": "object",
}
"""Type of a JSON value, in words."""
