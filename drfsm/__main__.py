"""``python -m drfsm``."""

from drfsm.cli.main import main

main()
