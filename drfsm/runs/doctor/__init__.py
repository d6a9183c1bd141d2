"""`drfsm doctor`: whether this machine and these sites are ready, and until when.

codes.py (what can be found), findings.py (a finding, and what is looked at), this_machine.py, the_store.py,
the_sites.py (what must be in order), proof.py (what the last green drill proved, and what voided it), report.py (the
verdict: text, JSON, a Prometheus textfile), examination.py (makes every check). Imports nothing itself, as `drfsm
explain` needs the codes alone.
"""
