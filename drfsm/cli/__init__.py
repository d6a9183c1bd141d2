"""The door: the commands of `drfsm`, one file a noun or verb; main.py gathers them.

It reads options, asks for tokens, wires a run to its world and prints. It is imported by nobody but ``drfsm.__main__``.
"""
