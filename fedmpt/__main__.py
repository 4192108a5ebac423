"""`python -m fedmpt` is the `fedmpt` command."""

from fedmpt.cli import main

main()
