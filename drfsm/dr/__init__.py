"""The work: the facts, actions and undos of the three procedures, bound to the names that machines/*.yaml declare.

Everything here speaks to the protocols of world/ and knows no client of any cloud. bindings.py is the door.
"""
