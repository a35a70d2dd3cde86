"""A day of events as sums by node, service, method and masked message."""
