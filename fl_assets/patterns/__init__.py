"""From sums to failure patterns: grouping, evidence, classes, confidence."""
