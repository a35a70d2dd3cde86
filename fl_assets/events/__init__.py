"""From bytes to Parquet: find files, read them, redact, store each event once."""
