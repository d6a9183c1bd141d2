"""Measurements for CloudWatch. Implements world.Metrics."""

from collections.abc import Sequence

from drfsm.adapters.aws_session import Services, call
from drfsm.world import Metric


class CloudWatchMetrics:
    """Custom metrics, as of the moment when CloudWatch receives them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def put(self, namespace: str, metrics: Sequence[Metric]) -> None:
        """Keep these measurements. Raises ActionFailed where CloudWatch refuses them."""
        data = [
            {
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions.items()],
                "Value": metric.value,
                "Unit": metric.unit or "None",
            }
            for metric in metrics
        ]
        cloudwatch = self._services.client("cloudwatch")
        call(f"writing to {namespace}", lambda: cloudwatch.put_metric_data(Namespace=namespace, MetricData=data))
