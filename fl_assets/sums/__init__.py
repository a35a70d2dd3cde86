"""Daily sums of events by node, service, method and masked message."""
