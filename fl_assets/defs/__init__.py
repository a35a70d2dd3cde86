"""The Dagster wiring: assets, checks, automation, resources, partitions.

Nothing else imports Dagster but `definitions.py`.
"""
