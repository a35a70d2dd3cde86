"""`python -m fl_assets.cli`."""

from fl_assets.cli import main

main()
