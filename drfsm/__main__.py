"""``python -m drfsm``."""

from drfsm.cli.door import main

main()
