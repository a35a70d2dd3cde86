"""The report page and alerts: records, words, files."""
