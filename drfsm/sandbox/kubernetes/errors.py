"""What goes wrong beside the API's own refusals (refusals.py): wrong use, and an API that can't be reached.

Raised by the cluster, its client and the kubelet; caught by whoever started them. ``hint`` is the next step.
"""


class ClusterError(Exception):
    """The base of both."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class UsageError(ClusterError):
    """The cluster was asked for something that it does not have or do. Nothing was changed."""


class ApiUnreachable(ClusterError):
    """No answer came from the API; a request may have been carried out or not."""
