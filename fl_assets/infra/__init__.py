"""Storage and other primitives, each once: lake, warehouse, files, keys. Knows no stage."""
