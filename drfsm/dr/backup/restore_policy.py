"""What a restore may bring: one table of kinds and their fields. Anything else is outside of the policy.

Whoever writes a backup also writes its checksums, so an intact backup may still be hostile. Each object is checked
against ``KINDS``: a closed list of fields, some with a rule. Pods, in templates of every kind, keep to Kubernetes' Pod
Security "baseline" (https://kubernetes.io/docs/concepts/security/pod-security-standards/). Roles may read, and write
only Events and Leases. RoleBindings join Roles and ServiceAccounts of the same backup. No object has an owner, a
finalizer, another namespace, or a field that only a cluster or drfsm writes. Secrets never come from a backup.

A list whose entries have keys holds each key once: a server-side apply takes no other (keyed_lists.py).

There are two kinds of findings. *Malformed*: a wrong type or name; such a backup is damaged, and no option allows it.
*Outside*: refused by object and field, all at once before anything is applied, unless the operator allows the object by
its name. Pure. Called by backup/check.py (malformed), restore.py, restore_site.py and the drill.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, is_name, printable
from drfsm.dr.backup import keyed_lists
from drfsm.dr.backup.manifests import CLUSTERS_OWN
from drfsm.dr.sites import BEFORE
from drfsm.errors import ActionFailed, UsageFault
from drfsm.world import Manifest

LARGEST_OBJECT_BYTES = 1_500_000  # what etcd takes
LARGEST_CONFIGMAP_BYTES = 1 << 20  # what the API takes as the values of one
MOST_REPLICAS = 10_000
NAMED = 20  # the most findings in one message; a receipt and `drfsm backup verify` list them all
LEFT_OUT = ("drfsm/restored-state", "drfsm/control-plane-bundle")
"""drfsm's own marks of another site's procedures: never restored, so never a fault."""


@frozen
class Finding:
    """A field of an object that is outside or malformed: ``field`` is a path in kubectl's form, ``why`` in words."""

    object: str
    field: str
    why: str
    malformed: bool = False

    def words(self) -> str:
        """Say it."""
        return f"{printable(self.object)}: {printable(self.field)}: {self.why}"


@frozen
class Scope:
    """The names in the backup itself, which some rules need."""

    namespace: str
    roles: frozenset[str]
    accounts: frozenset[str]


class RestoreRefused(ActionFailed):
    """A backup has fields outside of the restore policy. Nothing was changed. ``findings`` lists all of them."""

    def __init__(self, uri: str, sha256: str, findings: Sequence[Finding]) -> None:
        shown = [finding.words() for finding in findings[:NAMED]]
        if len(findings) > NAMED:
            shown.append(f"and {len(findings) - NAMED} more: `drfsm backup verify` names them all")
        options = " ".join(
            f"--allow-in-backup {shlex.quote(object_name)}" for object_name in _objects(findings)[:NAMED]
        )
        super().__init__(
            f"nothing was changed: a restore does not accept this from the backup {uri}: {'; '.join(shown)}",
            hint=f"ask who wrote the backup; only if all of these are intended: {options}",
            fault="store",
            final=True,
        )
        self.uri, self.sha256, self.findings = uri, sha256, tuple(findings)


Judge = Callable[[Any, Scope], Iterator[tuple[str, str]]]
"""Yields (path below the value, why) for each fault."""


@frozen
class Rule:
    """A shape, and a rule for its values."""

    shape: Any
    judge: Judge


class _Anything:
    """Any JSON."""


Fields = dict[Any, Any]
ANY = _Anything()
NEEDS = object()
"""The key of a shape for its required fields, on which later readers rely."""
MAP = {"*": str}


# --- rules ----------------------------------------------------------------------------------------------


def _never(why: str) -> Rule:
    """Return the rule that a field is absent."""

    def judge(_value: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
        yield "", why

    return Rule(ANY, judge)


def _false(why: str) -> Rule:
    def judge(value: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
        if value:
            yield "", why

    return Rule(bool, judge)


def _one_of(values: Sequence[Any], why: str, shape: Any = str) -> Rule:
    """Return the rule that a value, or each value of a list, is one of these."""

    def judge(value: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
        if other := [item for item in (value if isinstance(value, list) else [value]) if item not in values]:
            yield "", f"{bounded(', '.join(map(str, other)), 100)}: {why}"

    return Rule(shape, judge)


def _namespace(value: Any, scope: Scope) -> Iterator[tuple[str, str]]:
    if value != scope.namespace:
        yield "", f"{bounded(value, 100)} is not the backup's namespace, {scope.namespace}"


def _account(value: Any, scope: Scope) -> Iterator[tuple[str, str]]:
    if value not in scope.accounts:
        yield "", f"the backup has no ServiceAccount {bounded(value, 100)}"


def _priority(value: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
    if value.startswith("system-"):
        yield "", f"{bounded(value, 100)} is a class of the cluster's own: it preempts other pods"


def _role_ref(value: Any, scope: Scope) -> Iterator[tuple[str, str]]:
    kind, name = value.get("kind"), bounded(value.get("name"), 100)
    if kind != "Role" or value.get("apiGroup") != "rbac.authorization.k8s.io":
        yield "", f"it binds the {bounded(kind, 100)} {name}: only Roles of the same backup may be bound"
    elif value.get("name") not in scope.roles:
        yield "", f"the backup has no Role {name}"


def _subject(value: Any, scope: Scope) -> Iterator[tuple[str, str]]:
    kind, name = value.get("kind"), bounded(value.get("name"), 100)
    if kind != "ServiceAccount" or value.get("apiGroup"):
        yield (
            "",
            f"it gives access to the {bounded(kind, 100)} {name}: only ServiceAccounts of the namespace may be bound",
        )
    elif value.get("namespace") != scope.namespace:
        yield "", f"it gives access to ServiceAccount {name} of the namespace {bounded(value.get('namespace'), 100)}"
    elif value.get("name") not in scope.accounts:
        yield "", f"the backup has no ServiceAccount {name}"


READS = ("get", "list", "watch")
WRITES = (("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases"))
_READ_PARTS = ("log", "status", "scale")


def _role_rule(value: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
    """Check a Role's rule: a restored workload may read, and write only Events and Leases.

    A subject that creates pods, execs into one, reads every Secret or writes RBAC has the rights of the whole namespace
    (https://kubernetes.io/docs/concepts/security/rbac-good-practices/#privilege-escalation-risks).
    """
    groups, resources, verbs = (value.get(name) or [] for name in ("apiGroups", "resources", "verbs"))
    for name, words in (("apiGroups", groups), ("resources", resources), ("verbs", verbs)):
        if any("*" in word for word in words):
            yield f".{name}", "it has a wildcard"
    pairs = {(group, resource) for group in groups for resource in resources}
    more, beyond = sorted(set(verbs) - {*READS, "*"}), sorted(pairs - set(WRITES))
    if more and beyond:
        targets = ", ".join(f"{resource}.{group}".rstrip(".") for group, resource in beyond)
        yield ".verbs", bounded(f"it may {', '.join(more)} {targets}: a restored Role may write only Events and Leases")
    for resource in resources:
        _, _, part = resource.partition("/")
        if part and part not in (*_READ_PARTS, "*"):
            yield ".resources", f"{bounded(resource, 100)} gives access to pods, accounts or services"
        if resource == "secrets" and (set(verbs) - {"get"} or not value.get("resourceNames")):
            yield ".resources", "it reads Secrets without naming them"


def _labels(value: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
    for name, text in value.items():
        if name.startswith("drfsm/"):
            yield f"[{name}]", "only drfsm itself sets this mark"
        elif name == "pod-security.kubernetes.io/enforce" and text not in ("baseline", "restricted"):
            yield f"[{name}]", "it allows privileged pods in the whole namespace"


_PROFILES = re.compile(r"(container\.apparmor|seccomp|container\.seccomp)\.security\.(alpha|beta)\.kubernetes\.io/")


def _annotations(value: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
    for name, text in value.items():
        if name.startswith("drfsm/") and name not in (BEFORE, *LEFT_OUT):
            yield f"[{name}]", "only drfsm itself sets this mark"
        elif _PROFILES.match(name) and not (text in ("runtime/default", "docker/default") or text[:10] == "localhost/"):
            yield f"[{name}]", f"{bounded(text, 100)} removes the container's confinement"


def _ports(value: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
    if value != 0:
        yield "", f"{value} is a port of the node"


def _values(manifest: Any, _scope: Scope) -> Iterator[tuple[str, str]]:
    held = [*(manifest.get("data") or {}).items(), *(manifest.get("binaryData") or {}).items()]
    if (size := sum(len(key) + len(text.encode()) for key, text in held)) > LARGEST_CONFIGMAP_BYTES:
        yield "data", f"it has {size} bytes; a ConfigMap takes at most {LARGEST_CONFIGMAP_BYTES} (1 MiB)"


# --- shapes: pods ---------------------------------------------------------------------------------------

BASELINE_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
BASELINE_SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
)  # fmt: skip
BASELINE_SELINUX = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_PROFILE = {
    "type": _one_of(("RuntimeDefault", "Localhost"), "only RuntimeDefault and Localhost confine the container"),
    "localhostProfile": str,
}
_OF_BOTH = {
    "seccompProfile": _PROFILE,
    "appArmorProfile": _PROFILE,
    "seLinuxOptions": {
        "type": _one_of(BASELINE_SELINUX, "not an SELinux type for containers"),
        "user": _one_of(("",), "it sets its own SELinux user"),
        "role": _one_of(("",), "it sets its own SELinux role"),
        "level": str,
    },
    "windowsOptions": {
        "hostProcess": _false("it would run as a process on the node"),
        "gmsaCredentialSpec": str,
        "gmsaCredentialSpecName": str,
        "runAsUserName": str,
    },
    "runAsUser": int,
    "runAsGroup": int,
    "runAsNonRoot": bool,
}
_SECURITY = {
    **_OF_BOTH,
    "privileged": _false("it would be root on the node"),
    "allowPrivilegeEscalation": bool,
    "readOnlyRootFilesystem": bool,
    "procMount": _one_of(("Default",), "it would see the node's /proc"),
    "capabilities": {
        "add": _one_of(BASELINE_CAPABILITIES, "capabilities beyond the baseline", [str]),
        "drop": [str],
    },
}
_POD_SECURITY = {
    **_OF_BOTH,
    "fsGroup": int,
    "fsGroupChangePolicy": str,
    "supplementalGroups": [int],
    "supplementalGroupsPolicy": str,
    "seLinuxChangePolicy": str,
    "sysctls": [{"name": _one_of(BASELINE_SYSCTLS, "not a sysctl of the baseline"), "value": str}],
}
_HOST = _one_of(("",), "a probe or hook calls another host than the pod")
_HANDLER = {
    "exec": {"command": [str]},
    "httpGet": {"path": str, "port": ANY, "scheme": str, "host": _HOST, "httpHeaders": [{"name": str, "value": str}]},
    "tcpSocket": {"port": ANY, "host": _HOST},
    "grpc": {"port": int, "service": str},
    "sleep": {"seconds": int},
}
_PROBE = {
    **_HANDLER,
    **dict.fromkeys(
        (
            "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold",
            "terminationGracePeriodSeconds",
        ),
        int,
    ),
}  # fmt: skip
_NAMED: Fields = {NEEDS: ("name",), "name": str}
_KEY: Fields = {NEEDS: ("name", "key"), "name": str, "key": str, "optional": bool}
_SOURCE: Fields = {NEEDS: ("name",), "name": str, "optional": bool}
_ITEMS = [{NEEDS: ("key",), "key": str, "path": str, "mode": int}]
_FIELD = {"apiVersion": str, "fieldPath": str}
_RESOURCE_FIELD = {"containerName": str, "resource": str, "divisor": ANY}
_DOWNWARD = [{"path": str, "mode": int, "fieldRef": _FIELD, "resourceFieldRef": _RESOURCE_FIELD}]
_VALUE_FROM = {
    "configMapKeyRef": _KEY,
    "secretKeyRef": _KEY,
    "fieldRef": _FIELD,
    "resourceFieldRef": _RESOURCE_FIELD,
}
_CONTAINER: Fields = {
    NEEDS: ("name", "image"),
    "name": str,
    "image": str,
    "imagePullPolicy": str,
    "command": [str],
    "args": [str],
    "workingDir": str,
    "env": [{NEEDS: ("name",), "name": str, "value": str, "valueFrom": _VALUE_FROM}],
    "envFrom": [{"prefix": str, "configMapRef": _SOURCE, "secretRef": _SOURCE}],
    "ports": [
        {
            "name": str,
            "containerPort": int,
            "protocol": str,
            "hostPort": Rule(int, _ports),
            "hostIP": _one_of(("",), "an address of the node"),
        }
    ],
    "resources": {"limits": ANY, "requests": ANY},
    "resizePolicy": ANY,
    "restartPolicy": str,
    "volumeMounts": [
        {
            "name": str,
            "mountPath": str,
            "subPath": str,
            "subPathExpr": str,
            "readOnly": bool,
            "recursiveReadOnly": str,
            "mountPropagation": _one_of(("None", "HostToContainer"), "its mounts would appear on the node"),
        }
    ],
    "securityContext": _SECURITY,
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "startupProbe": _PROBE,
    "lifecycle": {"postStart": _HANDLER, "preStop": _HANDLER, "stopSignal": str},
    "terminationMessagePath": str,
    "terminationMessagePolicy": str,
    "stdin": bool,
    "stdinOnce": bool,
    "tty": bool,
}
_CLAIM_SPEC = {
    "accessModes": [str],
    "resources": {"limits": ANY, "requests": ANY},
    "storageClassName": str,
    "volumeMode": str,
    "volumeAttributesClassName": str,
    "volumeName": _never("it takes an existing volume"),
    "dataSource": _never("it takes another volume's content"),
    "dataSourceRef": _never("it takes another volume's content"),
    "selector": _never("it takes an existing volume"),
}
_VOLUME_SOURCES = {
    "configMap": {**_SOURCE, "items": _ITEMS, "defaultMode": int},
    "secret": {NEEDS: ("secretName",), "secretName": str, "optional": bool, "items": _ITEMS, "defaultMode": int},
    "downwardAPI": {"items": _DOWNWARD, "defaultMode": int},
    "emptyDir": {"medium": str, "sizeLimit": ANY},
    "persistentVolumeClaim": {NEEDS: ("claimName",), "claimName": str, "readOnly": bool},
    "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": MAP, "annotations": MAP}, "spec": _CLAIM_SPEC}},
    "projected": {
        "defaultMode": int,
        "sources": [
            {
                "configMap": {**_SOURCE, "items": _ITEMS},
                "secret": {**_SOURCE, "items": _ITEMS},
                "downwardAPI": {"items": _DOWNWARD},
                "serviceAccountToken": {"audience": str, "expirationSeconds": int, "path": str},
            }
        ],
    },
    "hostPath": _never("a directory of the node"),
}
_POD: Fields = {
    NEEDS: ("containers",),
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "ephemeralContainers": [{**_CONTAINER, "targetContainerName": str}],
    "volumes": [{"name": str, **_VOLUME_SOURCES}],
    "securityContext": _POD_SECURITY,
    "hostNetwork": _false("the pod would have the node's network"),
    "hostPID": _false("the pod would see the node's processes"),
    "hostIPC": _false("the pod would have the node's IPC"),
    "nodeName": _never("it bypasses the scheduler"),
    "serviceAccountName": Rule(str, _account),
    "serviceAccount": Rule(str, _account),
    "priorityClassName": Rule(str, _priority),
    "imagePullSecrets": [_NAMED],
    "nodeSelector": MAP,
    "tolerations": [ANY],
    "affinity": ANY,
    "topologySpreadConstraints": [ANY],
    "dnsConfig": ANY,
    "hostAliases": [{"ip": str, "hostnames": [str]}],
    "readinessGates": ANY,
    "overhead": ANY,
    "resources": ANY,
    "os": {"name": str},
    **dict.fromkeys(("terminationGracePeriodSeconds", "activeDeadlineSeconds"), int),
    **dict.fromkeys(
        (
            "automountServiceAccountToken", "shareProcessNamespace", "hostUsers", "setHostnameAsFQDN",
            "enableServiceLinks",
        ),
        bool,
    ),
    **dict.fromkeys(
        (
            "restartPolicy", "dnsPolicy", "hostname", "subdomain", "runtimeClassName", "schedulerName",
            "preemptionPolicy",
        ),
        str,
    ),
}  # fmt: skip

# --- shapes: objects ------------------------------------------------------------------------------------

_CLUSTERS = "only the cluster writes it"
_METADATA = {
    "name": str,
    "namespace": Rule(str, _namespace),
    "labels": Rule(MAP, _labels),
    "annotations": Rule(MAP, _annotations),
    "finalizers": _never("the object could be deleted only after its finalizers are cleared"),
    "ownerReferences": _never("its life would depend on an object that is not in the backup"),
    **dict.fromkeys(
        (
            "generateName", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink",
            "deletionTimestamp", "deletionGracePeriodSeconds",
        ),
        _never(_CLUSTERS),
    ),
}  # fmt: skip
_TEMPLATE: Fields = {NEEDS: ("spec",), "metadata": _METADATA, "spec": _POD}
_JOB: Fields = {
    NEEDS: ("template",),
    "template": _TEMPLATE,
    "podFailurePolicy": ANY,
    "successPolicy": ANY,
    "suspend": bool,
    **dict.fromkeys(("completionMode", "podReplacementPolicy"), str),
    **dict.fromkeys(
        (
            "backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes", "parallelism", "completions",
            "activeDeadlineSeconds", "ttlSecondsAfterFinished",
        ),
        int,
    ),
}  # fmt: skip
_CRONJOB: Fields = {
    NEEDS: ("schedule", "jobTemplate"),
    "schedule": str,
    "timeZone": str,
    "concurrencyPolicy": str,
    "suspend": bool,
    "jobTemplate": {NEEDS: ("spec",), "metadata": _METADATA, "spec": _JOB},
    **dict.fromkeys(("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"), int),
}
_DEPLOYMENT: Fields = {
    NEEDS: ("template",),
    "replicas": int,
    "selector": {"matchLabels": MAP, "matchExpressions": ANY},
    "template": _TEMPLATE,
    "strategy": ANY,
    "paused": bool,
    **dict.fromkeys(("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"), int),
}
_ROLE_RULE = {"apiGroups": [str], "resources": [str], "verbs": [str], "resourceNames": [str]}
_NAMES: Fields = {NEEDS: ("kind", "name"), "apiGroup": str, "kind": str, "name": str}


def _object(needs: Sequence[str] = (), **fields: Any) -> Fields:
    own = {NEEDS: needs, "apiVersion": str, "kind": str, "metadata": _METADATA, "status": _never(_CLUSTERS)}
    return {**own, **fields}


KINDS: Mapping[str, Any] = {
    "Namespace": _object(),
    "ServiceAccount": _object(
        imagePullSecrets=[_NAMED],
        automountServiceAccountToken=bool,
        secrets=_never("it would expose existing tokens"),
    ),
    "Role": _object(rules=[Rule(_ROLE_RULE, _role_rule)]),
    "RoleBinding": _object(roleRef=Rule(_NAMES, _role_ref), subjects=[Rule({**_NAMES, "namespace": str}, _subject)]),
    "PersistentVolumeClaim": _object(("spec",), spec=_CLAIM_SPEC),
    "ConfigMap": Rule(_object(data=MAP, binaryData=MAP, immutable=bool), _values),
    "CronJob": _object(("spec",), spec=_CRONJOB),
    "Deployment": _object(("spec",), spec=_DEPLOYMENT),
}
"""Kind → its fields. ``str``, ``int``, ``bool``, a list or a closed object of shapes, a ``Rule``, or ANY JSON."""

_RBAC = ("Role", "RoleBinding")

# --- holding objects against them -----------------------------------------------------------------------


def malformed(manifest: Manifest) -> list[str]:
    """Return the faults of an object of a known kind, in words: a wrong type, an invalid name, a missing field."""
    kind, metadata = str(manifest["kind"]), manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not is_name("RBAC name" if kind in _RBAC else "Kubernetes name", name):
        return [f"{bounded(name, 100)} is not a valid name for a {kind}"]
    faults = _walk(manifest, KINDS[kind], "", Scope("", frozenset(), frozenset()))
    return [f"{kind}/{name}: {where}: {why}" for where, why, wrong in faults if wrong]


def findings(manifests: Sequence[Manifest]) -> list[Finding]:
    """Return everything in a backup's objects that a restore does not accept, by object and field."""
    scope = _scope(manifests)
    return [
        Finding(object_of(manifest), where, why)
        for manifest in manifests
        for where, why in (
            *((where, why) for where, why, _ in _walk(manifest, KINDS[manifest["kind"]], "", scope)),
            *_before_faults(manifest),
            *keyed_lists.twice(manifest),
            *_own_faults(manifest),
        )
    ]


def permit(uri: str, sha256: str, manifests: Sequence[Manifest], allowed: Sequence[str]) -> list[Finding]:
    """Return the findings that are allowed by name. Raises RestoreRefused with all others.

    Raises UsageFault for an allowed object that is not in the backup: a typing mistake, or another backup.
    """
    there = {object_of(manifest) for manifest in manifests}
    if strange := [name for name in allowed if name not in there]:
        raise UsageFault(
            f"--allow-in-backup: the backup {uri} has no {', '.join(map(bounded, strange))}",
            hint="`drfsm backup verify` names what would be refused, as KIND/NAME",
        )
    outside = findings(manifests)
    if refused := [finding for finding in outside if finding.object not in allowed]:
        raise RestoreRefused(uri, sha256, refused)
    return outside


def object_of(manifest: Manifest) -> str:
    """Return an object's name: KIND/NAME."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def findings_json(outside: Sequence[Finding]) -> list[dict[str, str]]:
    """Return findings in the form of a record."""
    return [{"object": finding.object, "field": finding.field, "why": finding.why} for finding in outside]


def _objects(outside: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.object for finding in outside))


def _scope(manifests: Sequence[Manifest]) -> Scope:
    names = {
        kind: [manifest["metadata"]["name"] for manifest in manifests if manifest["kind"] == kind] for kind in KINDS
    }
    others = [manifest["metadata"].get("namespace") for manifest in manifests if manifest["kind"] != "Namespace"]
    home = next(iter(names["Namespace"]), next((namespace for namespace in others if namespace), ""))
    return Scope(home, frozenset(names["Role"]), frozenset({"default", *names["ServiceAccount"]}))


def _own_faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield a fault for an object that the cluster creates: a forged one would mislead every pod of the namespace."""
    if (manifest["kind"], manifest["metadata"]["name"]) in CLUSTERS_OWN:
        yield "metadata.name", _CLUSTERS


def _before_faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield a fault for a ``drfsm/before`` that no freeze or restore could have written on this object."""
    raw = (manifest["metadata"].get("annotations") or {}).get(BEFORE)
    if raw is None:
        return
    try:
        before = json.loads(raw)
    except (ValueError, RecursionError):
        before = None
    spec, quiet = manifest.get("spec") or {}, False
    if isinstance(before, dict) and is_name("drfsm run", before.get("run")):
        rest = {name: value for name, value in before.items() if name != "run"}
        match manifest["kind"], rest:
            case "CronJob", {"suspend": False, **more}:
                quiet = spec.get("suspend") is True and not more
            case "Deployment", {"replicas": int(number), **more}:
                quiet = spec.get("replicas") == 0 and 0 < number <= MOST_REPLICAS and not more
            case "ConfigMap", {"data": dict(switches), **more}:
                texts = all(value is None or isinstance(value, str) for value in switches.values())
                quiet = texts and all(is_name("variable", name) for name in switches) and not more
    if not quiet:
        yield f"metadata.annotations[{BEFORE}]", "it is not a record of a freeze on a suspended object"


def _walk(value: Any, shape: Any, where: str, scope: Scope) -> Iterator[tuple[str, str, bool]]:
    """Yield (field, why, malformed) for values that don't fit a shape. Documents are at most claims.DEEPEST deep."""
    if value is None or shape is ANY:
        return
    if isinstance(shape, Rule):
        wrong = list(_walk(value, shape.shape, where, scope))
        yield from wrong
        if not any(malformed for _, _, malformed in wrong):
            yield from ((f"{where}{below}".lstrip("."), why, False) for below, why in shape.judge(value, scope))
        return
    expected_type: Any = shape if isinstance(shape, type) else type(shape)
    if type(value) is not expected_type:
        yield where or "the object", f"it is {_kind(value)}, not {_WORDS[expected_type]}", True
    elif isinstance(shape, list):
        for number, item in enumerate(value):
            if item is None:
                yield f"{where}[{number}]", "it is null", True
            yield from _walk(item, shape[0], f"{where}[{number}]", scope)
    elif isinstance(shape, dict):
        yield from _fields(value, shape, where, scope)


def _fields(value: Manifest, shape: Mapping[Any, Any], where: str, scope: Scope) -> Iterator[tuple[str, str, bool]]:
    for name in shape.get(NEEDS, ()):
        if value.get(name) in (None, "", []):
            yield f"{where}.{name}".lstrip("."), "it is missing", True
    for name, content in value.items():
        below = f"{where}.{bounded(name, 100)}" if where else bounded(name, 100)
        inner = shape.get(name, shape.get("*"))
        if inner is not None:
            yield from _walk(content, inner, below, scope)
        elif content is not None:
            yield below, "a restore does not accept this field", False


_WORDS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    float: "a number",
}


def _kind(value: Any) -> str:
    return _WORDS.get(type(value), "something else")
