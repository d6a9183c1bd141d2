"""The report: a run, or the year's exercises, as one page that a person without a terminal can read.

Read in this order: ``document`` (what is on the page of a run, from its records), ``steps`` (its decisions, with what
was seen), ``year`` (what is on the page of a period), ``page`` (how it becomes HTML).
"""
