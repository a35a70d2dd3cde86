"""Dagster assets: thin wiring; read, call the domain file of the same name, write, report."""
