"""Proving it: what a run's records say, put into a summary, a narrative and step logs; and whether they hold.

Everything here is derived from records that were handed in. No clock, no network, no environment, no file.
The subscribers and the verbs that only read (cli/) call it; ``summary`` and ``narrative`` load nothing heavy.
"""
