"""Prometheus' text format: families of samples as a text. Pure; knows no run and no health.

https://prometheus.io/docs/instrumenting/exposition_formats/: one HELP and one TYPE a family, its samples together,
labels escaped. Used by runs/run_metrics.py and dr/detection/formats.py.
"""

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

Labels = Mapping[str, str]


@frozen
class Family:
    """A metric with what it is and its samples: labels and a value each. ``kind``: gauge | counter."""

    name: str
    about: str
    samples: Sequence[tuple[Labels, float]]
    kind: str = "gauge"


def exposition(families: Iterable[Family]) -> str:
    """Return families in Prometheus' text format; one without samples is left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += [f"# HELP {family.name} {family.about}", f"# TYPE {family.name} {family.kind}"]
            lines += [f"{family.name}{_labels(labels)} {_number(value)}" for labels, value in family.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
