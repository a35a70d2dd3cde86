"""Pure rules of the product: no Dagster, no I/O, no clock; everything a function needs is an argument."""
