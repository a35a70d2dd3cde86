"""Storage and other primitives: lake, warehouse, files, keys, HTTP. Imports no stage."""
