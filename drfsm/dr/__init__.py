"""The facts, actions and undos of the three procedures, bound to the names that machines/*.yaml declare.

Everything here uses the protocols of world/ and no client of any cloud. procedures/bindings.py is the entry point.
"""
