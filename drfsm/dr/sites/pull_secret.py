"""What a site pulls its image with: the pull Secrets, their age, and a fresh token of the registry in its place.

A registry of AWS (ECR) gives tokens that last twelve hours. A Secret that holds an older one pulls nothing: every pod
of the site then waits in ImagePullBackOff, which a run would find only when both sites are frozen. So the Secrets that
the pod and its ServiceAccount name are looked at, for the registry of the image that is to run:

    usable      one of them has an entry for the registry, and no token that has expired; or none is named, and the
                nodes pull by an identity of their own
    missing     a named Secret is not there, or is none to pull with
    uncovered   all are there, and none has an entry for the registry: perhaps the nodes pull by themselves
    expired     the entry holds a token of ECR that has expired

A token says itself until when it lasts; where this one does not, twelve hours are counted from the last time that
somebody wrote the Secret's data. Only names, ages and digests are seen or recorded: no token and no password.

``refresh`` puts a new token into the entry and leaves every other entry as it is. Owns the fact
``pull_token``, by which the machines' rows that renew a token know that it was. Called by preflight and by these rows.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from drfsm import claims
from drfsm.dr.objects import cronjob_of
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed, Unreadable
from drfsm.world import Cluster, Manifest, PullTokens, World
from drfsm.world.registries import DOCKER_HUB, ecr_of, registry_of

TOKEN_LASTS = timedelta(hours=12)
"""How long a token of ECR lasts: https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html"""
TYPE, KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"
EXPIRES = "drfsm/token-expires"
"""Annotation: until when the token lasts that drfsm wrote, and the digest of the data that this is said of."""
OLDER_KEY, OLDER_TYPE = ".dockercfg", "kubernetes.io/dockercfg"
"""The form before ``KEY`` and ``TYPE``: nodes still read it, without ``auths``; drfsm writes none."""
MEND = "`--refresh-pull-secret` puts a new token in"
BY_HAND = "create it with `kubectl create secret docker-registry`"
_LARGEST_BYTES = 1 << 20


# --- which Secrets, for which registry --------------------------------------------------------------------------


def named_by(pod: Mapping[str, Any], account: Manifest | None) -> list[str]:
    """Return the names of the pull Secrets of a pod's ``spec`` and of its ServiceAccount, each once."""
    references = [*(pod.get("imagePullSecrets") or ()), *((account or {}).get("imagePullSecrets") or ())]
    return list(dict.fromkeys(str(reference["name"]) for reference in references))


def pod_of(cronjob: Manifest) -> Mapping[str, Any]:
    """Return the pod's ``spec`` that a CronJob makes."""
    pod: Mapping[str, Any] = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


def secrets_of(cluster: Cluster, namespace: str, pod: Mapping[str, Any]) -> list[str]:
    """Return the names of the Secrets that a pod of this ``spec`` pulls with on a cluster."""
    account = cluster.get("ServiceAccount", namespace, str(pod.get("serviceAccountName") or "default"))
    return named_by(pod, account)


# --- looked at --------------------------------------------------------------------------------------------------


def observe(
    cluster: Cluster, namespace: str, names: Sequence[str], image: str, now: datetime | None = None
) -> dict[str, Any]:
    """See the pull Secrets of these names, for one image. ``now``: the cluster's time; by default as it says it.

    Raises Unreachable and Unreadable as reading a Secret does. Nothing that is returned is a credential.
    """
    registry = registry_of(image)
    manifests = {name: cluster.get("Secret", namespace, name) for name in names}
    at = now or cluster.now() or datetime.now(UTC)  # AFTER the reads: it is the time of the latest answer
    secrets = [_seen(name, manifest, registry, at) for name, manifest in manifests.items()]
    return {"registry": registry, "ecr": ecr_of(registry) is not None, "secrets": secrets}


def _seen(name: str, manifest: Manifest | None, registry: str, now: datetime) -> dict[str, Any]:
    if manifest is None:
        return {"name": name, "is": "not there"}
    body = _data(manifest)
    try:
        entries = _entries(manifest, body)
    except Unreadable as fault:
        return {"name": name, "is": "unreadable", "why": fault.what}
    covering = [entry for pattern, entry in entries.items() if covers(pattern, registry)]
    seen = {"name": name, "is": "there", "covers": bool(covering), "sha256": _digest(body), **_age(manifest, now)}
    if not covering or ecr_of(registry) is None:
        return seen
    expires = max(_expiry(manifest, body, entry) for entry in covering)  # a node tries each
    return {**seen, "expires_at": expires.isoformat(timespec="seconds"), "expired": expires <= now}


def _data(manifest: Manifest) -> bytes:
    """Return what a Secret holds for pulling; empty where it is of another kind."""
    key = OLDER_KEY if manifest.get("type") == OLDER_TYPE else KEY
    try:
        return base64.b64decode((manifest.get("data") or {}).get(key) or "", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _entries(manifest: Manifest, body: bytes) -> dict[str, Mapping[str, Any]]:
    """Return registry → entry. Raises Unreadable, in words that hold nothing of the contents."""
    name = str(manifest["metadata"]["name"])
    try:
        content = claims.object_of(body, name, largest_bytes=_LARGEST_BYTES)
        entries = content if manifest.get("type") == OLDER_TYPE else content.get("auths")
    except Unreadable:  # its words may hold the contents
        entries = None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise Unreadable(f"Secret {name} has no list of registries to pull from ({KEY})")
    return entries


def covers(pattern: str, registry: str) -> bool:
    """Return whether an entry is for this registry: a host, perhaps a URL with a path, with ``*`` in its parts.

    As Kubernetes reads them: https://kubernetes.io/docs/concepts/containers/images/#config-json
    """
    parts, ours = _host(pattern).split("."), registry.split(".")
    return len(parts) == len(ours) and all(map(fnmatchcase, ours, parts))


def _host(pattern: str) -> str:
    host = pattern.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def _age(manifest: Manifest, now: datetime) -> dict[str, Any]:
    """Return when a Secret was last written, and how long ago."""
    written = _written(manifest)
    if written is None:
        return {"written_at": None, "age_seconds": None}
    return {
        "written_at": written.isoformat(timespec="seconds"),
        "age_seconds": round(claims.seconds_between(written, now)),
    }


def _written(manifest: Manifest) -> datetime | None:
    """Return when somebody last wrote a Secret's data, as the cluster recorded it; else when it was created."""
    metadata = manifest["metadata"]
    writers = [entry for entry in metadata.get("managedFields") or () if isinstance(entry, Mapping)]
    times = [claims.moment(entry.get("time")) for entry in writers if "f:data" in (entry.get("fieldsV1") or {})]
    known = [moment for moment in times if moment is not None]
    return max(known) if known else claims.moment(metadata.get("creationTimestamp"))


def _expiry(manifest: Manifest, body: bytes, entry: Mapping[str, Any]) -> datetime:
    """Return until when an entry's token lasts: by drfsm's own note, by the token itself, or by its age."""
    note = str((manifest["metadata"].get("annotations") or {}).get(EXPIRES) or "")
    said, _, digest = note.partition(" ")
    if digest == _digest(body) and (moment := claims.moment(said)) is not None:
        return moment
    if (moment := _told_by(entry)) is not None:
        return moment
    written = _written(manifest)
    return written + TOKEN_LASTS if written is not None else datetime.fromtimestamp(0, UTC)


def _told_by(entry: Mapping[str, Any]) -> datetime | None:
    """Return what a token of ECR says of its own end (base64 of a JSON object with ``expiration``), None if nothing."""
    try:
        password = str(entry.get("password") or "")
        if entry.get("auth"):
            password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")[2]
        payload = claims.object_of(base64.b64decode(password, validate=True), "the token")
        return datetime.fromtimestamp(int(payload["expiration"]), UTC)
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError, Unreadable):
        return None


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


# --- judged -----------------------------------------------------------------------------------------------------


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Say what pulling would meet: usable, missing, uncovered or expired.

    A node pulls with whichever of the named Secrets it can use: one that is missing beside a good one stops nothing.
    """
    secrets = seen["secrets"]
    covering = [secret for secret in secrets if secret.get("covers")]
    if not covering:
        lacking = any(secret["is"] != "there" for secret in secrets)
        return "missing" if lacking else "uncovered" if secrets else "usable"
    return "expired" if all(secret.get("expired") for secret in covering) else "usable"


def at_fault(seen: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the pull Secrets, in words that say how to mend it; [] where nothing is."""
    mend = MEND if seen["ecr"] else BY_HAND
    words = [_fault(secret, mend) for secret in seen["secrets"]]
    verdict = judge(seen)
    if verdict == "uncovered":
        names = ", ".join(secret["name"] for secret in seen["secrets"])
        return [
            f"no pull Secret ({names}) has an entry for {seen['registry']}: unless the nodes can pull by themselves"
        ]
    return [word for word in words if word] if verdict != "usable" else []


def left_after_refresh(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what will be seen after a ``refresh``; the same where ``refresh`` could not write."""
    secrets = seen["secrets"]
    choice = [secret for secret in secrets if secret.get("covers")] or secrets
    if not seen["ecr"] or len(choice) != 1 or choice[0]["is"] == "unreadable":
        return dict(seen)
    written = {"name": choice[0]["name"], "is": "there", "covers": True, "expired": False}
    return {**seen, "secrets": [written if secret is choice[0] else secret for secret in secrets]}


def _fault(secret: Mapping[str, Any], mend: str) -> str:
    if secret["is"] == "not there":
        return f"pull Secret {secret['name']} does not exist: {mend}"
    if secret["is"] == "unreadable":
        return f"pull {secret['why']}: {BY_HAND}"
    if secret.get("expired"):
        return f"the token in pull Secret {secret['name']} expired at {secret['expires_at']}: {mend}"
    return ""


# --- refreshed --------------------------------------------------------------------------------------------------


def refresh(cluster: Cluster, namespace: str, names: Sequence[str], image: str, tokens: PullTokens) -> dict[str, Any]:
    """Put a new token for the image's registry into its pull Secret; return what may be recorded of it.

    Which Secret: the one that has an entry for the registry, else the only one that is named. It is applied on the
    server, conditionally on the version that was read; every other entry stays. Raises ActionFailed where no Secret is
    named, where it is unclear which, and for a registry that gives no tokens; Conflict after a write in between.
    """
    registry = registry_of(image)
    name, manifest, entries = _target(cluster, namespace, names, registry)
    token = tokens.token(registry)
    basic = base64.b64encode(f"{token.username}:{token.password}".encode()).decode()
    kept = {pattern: entry for pattern, entry in entries.items() if _host(pattern) != registry}
    body = json.dumps({"auths": {**kept, registry: {"auth": basic}}}, sort_keys=True).encode()
    version = {} if manifest is None else {"resourceVersion": manifest["metadata"]["resourceVersion"]}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": {EXPIRES: f"{token.expires_at} {_digest(body)}"},
                **version,
            },
            "type": TYPE,
            "data": {KEY: base64.b64encode(body).decode()},
        },
        force=True,  # the Secret is somebody's whom the operator asked us to do this for
    )
    return {
        "secret": name,
        "registry": registry,
        "expires_at": token.expires_at,
        "sha256": _digest(body),
        "was": "created" if manifest is None else "replaced",
    }


def _target(
    cluster: Cluster, namespace: str, names: Sequence[str], registry: str
) -> tuple[str, Manifest | None, Mapping[str, Any]]:
    """Return the Secret that the registry's token belongs in: its name, itself if it exists, and its entries.

    Raises ActionFailed where no token can be put anywhere: preflight asks for that, too (``obstacle``).
    """
    if ecr_of(registry) is None:
        raise _impossible(
            f"{registry} is no registry of AWS: drfsm has no token for it", f"leave it out, and {BY_HAND}"
        )
    manifests = {name: cluster.get("Secret", namespace, name) for name in names}
    covering = [name for name, manifest in manifests.items() if manifest and _has_entry(manifest, registry)]
    choice = covering or list(manifests)
    if not choice:
        raise _impossible(
            f"no pull Secret is named by the CronJob or its ServiceAccount: the nodes pull from {registry} themselves",
            "leave it out; or name a Secret in imagePullSecrets of the ServiceAccount",
        )
    if len(choice) > 1:
        raise _impossible(
            f"which pull Secret is for {registry}? There are {', '.join(sorted(choice))}",
            f"give one of them an entry for {registry}",
        )
    manifest = manifests[choice[0]]
    return choice[0], manifest, {} if manifest is None else _writable(manifest)


def _has_entry(manifest: Manifest, registry: str) -> bool:
    try:
        return any(covers(pattern, registry) for pattern in _entries(manifest, _data(manifest)))
    except Unreadable:
        return False


def _impossible(what: str, hint: str) -> ActionFailed:
    return ActionFailed(what, hint=hint, fault="operator", final=True)


def _writable(manifest: Manifest) -> Mapping[str, Any]:
    """Return a Secret's entries; {} where it has none yet. Raises ActionFailed for a Secret of another kind."""
    if manifest.get("type") not in (TYPE, None):
        raise _impossible(
            f"Secret {manifest['metadata']['name']} is of type {claims.bounded(manifest.get('type'), 60)}, not {TYPE}",
            BY_HAND,
        )
    body = _data(manifest)
    try:
        return _entries(manifest, body) if body else {}
    except Unreadable as fault:
        raise _impossible(fault.what, BY_HAND) from None


def obstacle(cluster: Cluster, namespace: str, names: Sequence[str], image: str, tokens: PullTokens) -> str:
    """Return why no new token could be put into a pull Secret, with the mend; "" where one could. Changes nothing.

    A token is asked for and thrown away, as only the registry's service knows whether we may. Raises Unreachable.
    """
    registry = registry_of(image)
    try:
        _target(cluster, namespace, names, registry)
        tokens.token(registry)
    except ActionFailed as fault:
        return f"{fault.what}: {fault.hint}" if fault.hint else fault.what
    return ""


# --- for the machines -------------------------------------------------------------------------------------------


def _of_the_workload(world: World, run: Run) -> tuple[Cluster, str, list[str], str]:
    """Return the site that is to run the workload, its namespace, the pull Secrets of its CronJob, and the image."""
    terms = terms_of(run.inputs)
    cluster = world.site(terms.target_site)
    pod = pod_of(cronjob_of(cluster, terms.namespace, terms.cronjob, terms.usual_cronjob))
    image = terms.image_ref or str(pod["containers"][0]["image"])
    return cluster, terms.namespace, secrets_of(cluster, terms.namespace, pod), image


def _observe(world: World, run: Run) -> dict[str, Any]:
    return observe(*_of_the_workload(world, run))


def _judge_token(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    """Judge whether there is a token that lasts, whatever else there is."""
    lasts = [secret for secret in seen["secrets"] if secret.get("covers") and not secret.get("expired")]
    return "fresh" if lasts else "expired"


def _refresh(world: World, run: Run) -> dict[str, Any]:
    if world.pull_tokens is None:
        raise ActionFailed("nobody gives tokens to pull with here", fault="drfsm")
    cluster, namespace, names, image = _of_the_workload(world, run)
    renewed = refresh(cluster, namespace, names, image, world.pull_tokens)
    run.note(f"Secret {renewed['secret']} on {cluster.name} has a token of {renewed['registry']} until"
             f" {renewed['expires_at']}")  # fmt: skip
    return renewed


def _observe_refresh(world: World, run: Run) -> dict[str, Any]:
    """See whether the renewal that was asked for can be done, before anything depends on it."""
    cluster, namespace, names, image = _of_the_workload(world, run)
    if world.pull_tokens is None:
        raise ActionFailed("nobody gives tokens to pull with here", fault="drfsm")
    why = obstacle(cluster, namespace, names, image, world.pull_tokens)
    seen = {"registry": registry_of(image), "secrets": list(names), "impossible": why}
    return {**seen, "in_words": why} if why else seen


FACTS = {
    "pull_token": Fact(_observe, _judge_token),
    "pull_refresh": Fact(_observe_refresh, lambda seen, _inputs: "impossible" if seen["impossible"] else "possible"),
}
LATE = {"refresh_pull_secret": Late(settles="a pull Secret that does not exist yet is applied without a condition")}
ACTIONS = {"refresh_pull_secret": _refresh}
