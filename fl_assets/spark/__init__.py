"""The Spark engine: for a day too big for one machine."""
