"""Sources: servers that a fleet's traces are pulled from, day by day.

What goes here: one file per kind of server, and how a day is pulled. What does not: what a record means; it
is written as the server sent it, and ingested like any telemetry file (`events/`).
"""
