"""Quoting for SQL, for the places where DuckDB binds no parameter.

Views, pragmas, patterns that are planned once.
"""


def literal(text: str) -> str:
    """Quote one of our own constants as an SQL string; a value from telemetry is bound, never formatted."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote the name of a table or column."""
    return '"' + name.replace('"', '""') + '"'
