"""Keys under which telemetry keeps a call's arguments, and SQL that reads the metadata of calls.

What does not go here: keys of one format of telemetry (`events/formats/`).
"""

ARGUMENT_KEYS = (
    "arguments", "tool.arguments", "gen_ai.tool.call.arguments", "tool_call.function.arguments",
    "tool.parameters", "tool_input", "parameters", "args", "input", "input.value",
)  # fmt: skip
_COMMAND_KEYS = ("command", "cmd", "script")
_SEARCHES = "grep|egrep|fgrep|zgrep|rg|ag|ack|findstr|pgrep|diff|cmp|test|which"
"""Commands whose status 1 says that nothing was found, or that two things differ."""
_SEARCH = rf"""(?:^|[|;&\n])\s*({_SEARCHES})\s(?:[^|;&\n"']|"(?:[^"\\]|\\.)*"|'[^']*')*$"""


def first_of(keys: tuple[str, ...]) -> str:
    """Return SQL for the value of the first of these metadata keys that is set."""
    paths = ", ".join("'$.\"" + key + "\"'" for key in keys)
    return f"list_filter(json_extract_string(metadata, [{paths}]), lambda found: found is not null)[1]"


def search_sql() -> str:
    """Return SQL for the search that a shell's command ends with, such as `grep`; null for none.

    The word is one of a closed list, whatever else the command holds.
    """
    given = first_of(ARGUMENT_KEYS)
    paths = ", ".join(f"'$.{key}'" for key in _COMMAND_KEYS)
    pattern = _SEARCH.replace("'", "''")
    fields = "case when json_valid(given) and left(ltrim(given), 1) = '{' then given end"
    command = f"list_filter(json_extract_string({fields}, [{paths}]), lambda found: found is not null)[1]"
    search = f"regexp_extract(trim(coalesce({command}, given)), '{pattern}', 1)"
    return f"(list_transform([{given}], lambda given: nullif({search}, ''))[1])"
