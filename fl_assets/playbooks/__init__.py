"""From patterns to playbooks, and the gate that they must pass."""
