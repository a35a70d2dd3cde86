"""From playbooks to changes: policy, decisions, releases, measured outcomes, roll-out."""
