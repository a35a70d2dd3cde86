"""Files and tables, without Dagster: each module owns one kind of thing on disk and its failure modes."""
