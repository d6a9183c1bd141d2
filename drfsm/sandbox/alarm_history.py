"""CloudWatch's history of alarms, as CloudWatch tells it: each change of a state, newest first, in pages.

moto keeps of an alarm only its former states, forgets them when the alarm is put again, and answers neither
``DescribeAlarmHistory`` nor ``PutCompositeAlarm``. Here both answer, an alarm that is put again keeps its state, and
its history stays when it is deleted, as in the cloud
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarmHistory.html). Setting the state that
an alarm has already is no change. Owns what happened to which alarm; cloud.py installs it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

MOST_A_PAGE = 100
_Item = dict[str, Any]
_OF_A_STATE = ("state_reason", "state_reason_data", "state_value", "state_updated_timestamp")


def install() -> None:
    """Make moto keep the history of alarms and tell it. A second call changes nothing."""
    from moto.cloudwatch.models import CloudWatchBackend
    from moto.cloudwatch.responses import CloudWatchResponse

    backend: Any = CloudWatchBackend
    responses: Any = CloudWatchResponse
    for name, kept in (("put_metric_alarm", _kept_put), ("set_alarm_state", _kept_state)):
        if not hasattr(getattr(backend, name), "forgetful"):
            setattr(backend, name, kept(getattr(backend, name)))
    responses.put_composite_alarm = responses.put_metric_alarm  # it heeds AlarmRule already
    responses.describe_alarm_history = _describe


def _kept_put(put: Callable[..., Any]) -> Callable[..., Any]:
    def kept(backend: Any, **asked: Any) -> Any:
        former = backend.alarms.get(asked["name"])
        alarm = put(backend, **asked)
        for name in _OF_A_STATE if former else ():
            setattr(alarm, name, getattr(former, name))
        verb = "Update" if former else "Create"
        _add(backend, alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" {verb.lower()}d', {"type": verb})
        return alarm

    kept.forgetful = put  # type: ignore[attr-defined]  # a mark, so that it is wrapped once
    return kept


def _kept_state(set_state: Callable[..., None]) -> Callable[..., None]:
    def kept(backend: Any, alarm_name: str, *asked: Any) -> None:
        alarm = backend.alarms.get(alarm_name)
        old = _state(alarm) if alarm else {}
        set_state(backend, alarm_name, *asked)
        new = _state(alarm)
        if old["stateValue"] != new["stateValue"]:
            summary = f"Alarm updated from {old['stateValue']} to {new['stateValue']}"
            _add(backend, alarm, "StateUpdate", summary, {"oldState": old, "newState": new})

    kept.forgetful = set_state  # type: ignore[attr-defined]  # a mark, so that it is wrapped once
    return kept


def _state(alarm: Any) -> dict[str, str]:
    return {"stateValue": alarm.state_value, "stateReason": alarm.state_reason}


def _add(backend: Any, alarm: Any, kind: str, summary: str, data: Mapping[str, object]) -> None:
    item = {
        "AlarmName": alarm.name,
        "AlarmType": "MetricAlarm" if alarm.rule is None else "CompositeAlarm",
        "Timestamp": datetime.now(UTC).replace(tzinfo=None),  # as moto's own
        "HistoryItemType": kind,
        "HistorySummary": summary,
        "HistoryData": json.dumps({"version": "1.0", **data}),
    }
    _history(backend).append(item)


def _history(backend: Any) -> list[_Item]:
    """Return what happened to the alarms of an account and region, oldest first; moto's reset empties it."""
    history: list[_Item] = backend.__dict__.setdefault("alarm_history", [])
    return history


def _describe(self: Any) -> Any:
    from moto.cloudwatch.exceptions import CloudWatchException
    from moto.core.responses import ActionResult

    items = list(_fitting(_history(self.cloudwatch_backend), self._get_param))
    if self._get_param("ScanBy") != "TimestampAscending":
        items.reverse()
    token = self._get_param("NextToken") or "0"
    if not token.isdecimal():
        fault = CloudWatchException("The next token specified is invalid")
        fault.code = "InvalidNextToken"
        raise fault
    begin = int(token)
    end = begin + min(self._get_param("MaxRecords") or MOST_A_PAGE, MOST_A_PAGE)
    more = {"NextToken": str(end)} if end < len(items) else {}
    return ActionResult({"AlarmHistoryItems": items[begin:end], **more})


def _fitting(items: list[_Item], asked: Callable[..., Any]) -> Iterator[_Item]:
    """Yield what was asked for. Who names no type of alarm gets metric alarms only."""
    name, kind, since, until = map(asked, ("AlarmName", "HistoryItemType", "StartDate", "EndDate"))
    types = asked("AlarmTypes") or ["MetricAlarm"]
    for item in items:
        in_time = (since is None or item["Timestamp"] >= since) and (until is None or item["Timestamp"] <= until)
        if in_time and item["AlarmType"] in types and name in (None, item["AlarmName"]) and kind in (
            None, item["HistoryItemType"]
        ):  # fmt: skip
            yield item
