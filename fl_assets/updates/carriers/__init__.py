"""How each category of update target is changed: one module per category, of the category's name.

A category is one entry in `core.models.Category` and one file here, `<category>.py`, with two functions:

    propose(playbook, known) -> ProposedChange    the change a playbook asks for, before gate and apply level
    carrier(tools) -> Carrier | None              what makes it on this machine; None when nothing is set up

A category without a file is changed by people (`people.py`): its decisions are exported for review.
Everything else (decisions, trials, releases, the cycle's counts, the report) follows from these two.
docs/update-policy.md shows an example.
"""
