"""Ingestion: find files, read them, redact, store each event once as Parquet."""
