"""A fleet that is made up: the demo's and the tests' telemetry, with the truth beside it."""
