"""Whether what consumers read is fresh and correct: looked at from outside, judged, told to those who watch.

health.py looks and judges; formats.py says it as measurements (CloudWatch, Prometheus). Changes nothing and starts
nothing: who is told decides. Used by `drfsm health`.
"""

from drfsm.dr.detection.formats import measurements, textfile
from drfsm.dr.detection.health import DEFAULT_LIMIT_HOURS, Check, Health, judge, look, observe

__all__ = ["DEFAULT_LIMIT_HOURS", "Check", "Health", "judge", "look", "measurements", "observe", "textfile"]
