"""Sources: servers that hold a fleet's traces, asked for a day of them.

What goes here: which sources there are, one file per kind of server, and how a day is pulled. What does not:
what a record means; it is written as the server gave it, and read as any file of telemetry is (`events/`).
"""
