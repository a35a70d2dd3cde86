"""Adapters: manifests, admission, the store, the hub."""
