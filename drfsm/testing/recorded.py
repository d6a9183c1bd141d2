"""A world and a binding of your own behind a fuse: each request is on record, and may be the last.

``watched`` wraps a binding: each reading of a fact, and each action, which is a request. ``Recorded`` wraps a world:
each call of a method of it, or of an object in it, is one. Neither changes what is read or done. ``Recorded`` stands
for the object in everything but ``isinstance``: code that asks for a type gets the object by ``Recorded.of(world)``.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import evolve

from drfsm.engine import Act, Binding, Fact, Run
from drfsm.testing.fuse import Fuse

_PLAIN = (str, bytes, int, float, bool, type(None), list, tuple, dict, set, frozenset)


def watched(binding: Binding, fuse: Fuse) -> Binding:
    """Return a binding whose readings and actions pass the fuse; an action is a request with two points."""
    facts = {name: _watched_fact(name, fact, fuse) for name, fact in binding.facts.items()}
    actions = {name: _watched_act(name, act, fuse) for name, act in binding.actions.items()}
    former = {name: _watched_act(name, act, fuse) for name, act in binding.former_actions.items()}
    return evolve(binding, facts=facts, actions=actions, former_actions=former)


def _watched_fact(name: str, fact: Fact, fuse: Fuse) -> Fact:
    def observe(world: Any, run: Run) -> Any:
        fuse.seen.append(("read", name))
        fuse.observing = True
        try:
            return fact.observe(world, run)
        finally:
            fuse.observing = False

    return evolve(fact, observe=observe)


def _watched_act(name: str, act: Act, fuse: Fuse) -> Act:
    def acted(world: Any, run: Run) -> Any:
        fuse.seen.append(("act", name))
        return fuse.write(lambda: act(world, run), f"the action {name}")

    return acted


class Recorded:
    """A world behind a fuse. Methods of it, and of objects that it holds, are requests: ``primary.promote(...)``.

    Reading an attribute is no request; setting one, or an item, is.
    """

    __slots__ = ("_fuse", "_name", "_target")

    def __init__(self, target: Any, fuse: Fuse, name: str = "") -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_fuse", fuse)
        object.__setattr__(self, "_name", name)

    @staticmethod
    def of(world: Any) -> Any:
        """Return the object behind the fuse; an object that is behind none as it is."""
        return object.__getattribute__(world, "_target") if isinstance(world, Recorded) else world

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        called = f"{self._name}.{name}".lstrip(".")
        if isinstance(value, _PLAIN):
            return value
        return self._method(value, called) if callable(value) else Recorded(value, self._fuse, called)

    def __setattr__(self, name: str, value: Any) -> None:
        self._request(f"{self._name}.{name}".lstrip("."), lambda: setattr(self._target, name, value), value)

    def __getitem__(self, key: Any) -> Any:
        value = self._target[key]
        return value if isinstance(value, _PLAIN) else Recorded(value, self._fuse, f"{self._name}[{key!r}]")

    def __setitem__(self, key: Any, value: Any) -> None:
        def put() -> None:
            self._target[key] = value

        self._request(f"{self._name}[{key!r}]", put, value)

    def __delitem__(self, key: Any) -> None:
        def remove() -> None:
            del self._target[key]

        self._request(f"del {self._name}[{key!r}]", remove)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._target)

    def __len__(self) -> int:
        return len(self._target)

    def __contains__(self, key: Any) -> bool:
        return key in self._target

    def __bool__(self) -> bool:
        return bool(self._target)

    def __eq__(self, other: object) -> bool:
        return bool(self._target == Recorded.of(other))

    def __hash__(self) -> int:
        return hash(self._target)

    def __repr__(self) -> str:
        return f"Recorded({self._target!r})"

    def _method(self, method: Callable[..., Any], called: str) -> Callable[..., Any]:
        def request(*args: Any, **kwargs: Any) -> Any:
            return self._request(called, lambda: method(*args, **kwargs), *args, **kwargs)

        return request

    def _request(self, called: str, request: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        self._fuse.seen.append(("call", called, _arguments(args, kwargs)))
        return self._fuse.write(request, f"the call {called}")


def _arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return ", ".join([*(repr(arg) for arg in args), *(f"{name}={value!r}" for name, value in kwargs.items())])
