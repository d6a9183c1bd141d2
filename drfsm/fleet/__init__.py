"""Many site pairs, driven by an engine that a team has already: Temporal. drfsm brings rows, journal and rules.

Read in this order: ``pairs`` (fleet.toml), ``workflows`` (what Temporal executes; imports nothing of drfsm), ``tasks``,
``process`` and ``takeover`` (who may go on with a run whose worker is silent), ``sessions`` (one open run in a worker),
``rows`` (a task of the workflow, answered by the journal), ``worker``, ``client`` (starts, answers, schedules),
``view`` (where all pairs stand, by their mirrors), ``page`` (one page, one Prometheus file).

The journal is the truth, as ever. What a workflow says is a claim: which pair, which run, how far the run was when it
was last told. Where the pair's bucket and clusters are, the worker's own fleet file says.
"""
