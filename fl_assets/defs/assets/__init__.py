"""Dagster assets: thin wiring that reads, calls the domain, writes and reports."""
