"""Authorization: everything is allowed except what a test denies. Reviews say so, and denied requests are refused.

``Denials`` is all of it; RBAC objects are stored and never read here. The kubelet is never denied anything.
"""

import threading

from drfsm.sandbox.kubernetes.http_messages import Answer, Request, Target, answer, manifest_of
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, forbidden, invalid

Denial = tuple[str, str, str]


class Denials:
    """The denied (verb, group, resource); any of the three may be ``*``. Safe for use by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._denied: set[Denial] = set()

    def deny(self, verb: str, group: str, resource: str) -> None:
        """Add a denial. A part of a resource is named as in ``pods/log``."""
        with self._lock:
            self._denied.add((verb, group, resource))

    def clear(self) -> None:
        """Remove every denial."""
        with self._lock:
            self._denied.clear()

    def all(self) -> list[Denial]:
        """Return every denial."""
        with self._lock:
            return sorted(self._denied)

    def denied(self, verb: str, group: str, resource: str) -> bool:
        """Return whether a verb on a resource is denied."""
        asked = (verb, group, resource)
        return any(all(a in (b, "*") for a, b in zip(denial, asked, strict=True)) for denial in self.all())


def authorize(denials: Denials, request: Request, verb: str, where: Target) -> None:
    """Raise ApiError Forbidden (403) if a request is denied."""
    resource = where.resource
    named = f"{resource.plural}/{where.part}" if where.part else resource.plural
    if denials.denied(verb, resource.group, named):
        place = f'in the namespace "{where.namespace}"' if where.namespace else "at the cluster scope"
        reason = f'User "{request.user}" cannot {verb} resource "{named}" in API group "{resource.group}" {place}'
        raise _forbidden(where, reason)


def _forbidden(where: Target, reason: str) -> ApiError:
    return forbidden(where.resource.qualified, where.name, reason)


def review(denials: Denials, request: Request, where: Target) -> Answer:
    """Answer a SelfSubjectAccessReview or SelfSubjectReview."""
    body = manifest_of(request)
    kinds = {
        "selfsubjectaccessreviews": _access,
        "selfsubjectreviews": _self,
    }
    resource = where.resource
    header = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
    status = kinds[resource.plural](denials, request, body)
    return answer(201, {**header, **({"spec": body["spec"]} if "spec" in body else {}), "status": status})


def _access(denials: Denials, request: Request, body: Manifest) -> Manifest:
    del request
    asked = (body.get("spec") or {}).get("resourceAttributes")
    if not asked:
        if (body.get("spec") or {}).get("nonResourceAttributes"):
            return {"allowed": True}
        message = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise invalid("", "authorization.k8s.io", "", [("spec.resourceAttributes", "FieldValueInvalid", message)])
    part = f"/{asked['subresource']}" if asked.get("subresource") else ""
    verb, group = asked.get("verb", "*"), asked.get("group", "")
    if denials.denied(verb, group, asked.get("resource", "*") + part):
        return {"allowed": False, "denied": True, "reason": "denied by the sandbox"}
    return {"allowed": True, "reason": "the sandbox allows everything that isn't denied"}


def _self(denials: Denials, request: Request, body: Manifest) -> Manifest:
    del denials, body
    return {"userInfo": {"username": request.user, "groups": list(request.groups)}}
