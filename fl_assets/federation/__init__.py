"""Summaries that nodes send instead of events."""
