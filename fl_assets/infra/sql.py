"""Quoting for SQL where DuckDB binds no parameter: views, pragmas, patterns that are planned once."""


def literal(text: str) -> str:
    """Quote a constant of ours as an SQL string; values from telemetry are bound instead."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote the name of a table or column."""
    return '"' + name.replace('"', '""') + '"'
