"""The Dagster wiring: assets, checks, automation, resources, partitions."""
