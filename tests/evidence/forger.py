"""The runs that are forged, and a forger's hands: edits of a log that is then numbered, chained and sealed anew."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from drfsm.engine import Late

if TYPE_CHECKING:
    from tests.evidence.conftest import Play

Make = Callable[..., "Play"]
Draft = list[dict[str, Any]]
Edit = Callable[[Draft], Any]


# --- the runs that are forged ---------------------------------------------------------------------------


def complete(play: Make) -> "Play":
    """Return a run that went well, with a failed attempt on the way."""
    return play(fails={"shut": ["before"]}).start()


def aborted(play: Make) -> "Play":
    """Return a run that was aborted with two things to undo."""
    return play(wheel=["turning", "still", "still", "still", "turning"]).start().request("abort")


def held(play: Make) -> "Play":
    """Return a run that was held after all its attempts, and resumed, and went well."""
    return play(fails={"shut": ["before"] * 4}).start().resume()


def superseded(play: Make) -> "Play":
    """Return a run that died half way in an action, and was aborted."""
    return play(fails={"shut": ["half"] * 3}).start().request("abort")


def found(play: Make) -> "Play":
    """Return a run whose action was done when its process died, and was found done."""
    return play(fails={"rekey": ["die after"]}).start().resume()


def given_up(play: Make) -> "Play":
    """Return a run whose process died in an action, and that was aborted: its late request was shut out."""
    late = {name: Late(lambda _world, _run: {"touched": ["sluices"]}) for name in ("shut", "reopen")}
    return play(fails={"shut": ["die"]}, late=late).start().request("abort")


def waited_for(play: Make) -> "Play":
    """Return such a run of an action without a condition: its late request was waited for, and is told."""
    late = {name: Late(settles="a locksmith can't be called back") for name in ("rekey", "unkey")}
    return play(fails={"rekey": ["die"]}, late=late).start().request("abort")


def dry(play: Make) -> "Play":
    """Return a dry run that would be refused."""
    return play(owner={"name": "new"}).start(dry_run=True)


# --- the forger's hands ---------------------------------------------------------------------------------


def the(draft: Draft, kind: str, trigger: str = "", *, nth: int = 0) -> dict[str, Any]:
    """Return the body of a record of a kind (and of a step)."""
    return place(draft, kind, trigger, nth=nth)["body"]  # type: ignore[no-any-return]  # JSON


def place(draft: Draft, kind: str, trigger: str = "", *, nth: int = 0) -> dict[str, Any]:
    """Return a record of a kind (and of a step)."""
    return [
        each for each in draft if each["kind"] == kind and f"--{trigger}" in each["body"].get("row", f"--{trigger}")
    ][nth]


def without(kind: str, trigger: str = "", *, every: bool = False) -> Edit:
    """Return the edit that takes a record out, or every one of its kind and step."""

    def edit(draft: Draft) -> None:
        draft.remove(place(draft, kind, trigger))
        while every and any(each["kind"] == kind and f"--{trigger}" in each["body"].get("row", "--") for each in draft):
            draft.remove(place(draft, kind, trigger))

    return edit


def altered(kind: str, trigger: str, /, **fields: Any) -> Edit:
    """Return the edit that sets fields of a record's body."""
    return lambda draft: the(draft, kind, trigger).update(fields)


def both(*edits: Edit) -> Edit:
    """Return several edits as one."""
    return lambda draft: [edit(draft) for edit in edits]


def fact(kind: str, trigger: str, name: str, *, also_guard: bool = False, **found: Any) -> Edit:
    """Return the edit that says something else of a fact (and, as a careful forger would, of the guard over it)."""

    def edit(draft: Draft) -> None:
        body = the(draft, kind, trigger)
        body["facts"].setdefault(name, {}).update(found)
        for check in body["guards"] if also_guard else []:
            if check["fact"] == name:
                check.update(found)

    return edit


def guard(kind: str, trigger: str, **fields: Any) -> Edit:
    """Return the edit that alters the first guard of a record."""
    return lambda draft: the(draft, kind, trigger)["guards"][0].update(fields)


def swapped(one: tuple[str, str], other: tuple[str, str]) -> Edit:
    """Return the edit that lets two records change places."""

    def edit(draft: Draft) -> None:
        first, second = draft.index(place(draft, *one)), draft.index(place(draft, *other))
        draft[first], draft[second] = draft[second], draft[first]

    return edit


def added(after: tuple[str, str], record: Callable[[Draft], dict[str, Any]]) -> Edit:
    """Return the edit that puts a record behind another one."""
    return lambda draft: draft.insert(draft.index(place(draft, *after)) + 1, record(draft))


def forged_commit(draft: Draft, trigger: str) -> dict[str, Any]:
    """Return a commit of a step by nobody but the forger."""
    return json.loads(json.dumps(place(draft, "commit", trigger)))  # type: ignore[no-any-return]  # JSON


OPEN, SHUT = {"upper": "open", "lower": "open"}, {"upper": "shut", "lower": "shut"}
ABORT: dict[str, Any] = {
    "row": "keyed --abort--> aborting", "trigger": "abort", "from": "keyed", "to": "aborting", "by": "operator",
    "how": "judged", "guards": [], "facts": {}, "result": None, "frozen": [], "ways": [], "args": {"operator": "eve"},
    "because": "Everything is given back",
}  # fmt: skip
