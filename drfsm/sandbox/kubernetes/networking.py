"""Ingresses and NetworkPolicies: their defaults, their validation, and their cells in kubectl's tables.

They are kept and checked like the real ones (pkg/apis/networking), and lead nowhere: no controller routes by an
Ingress, and no policy isolates a container, which is a process of this machine. defaults.py, specs.py and tables.py
call this.
"""

from collections.abc import Iterator
from typing import Any

from drfsm.sandbox.kubernetes.refusals import Fault, Manifest, required, unacceptable, unsupported

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
POLICY_TYPES = ("Ingress", "Egress")
PROTOCOLS = ("SCTP", "TCP", "UDP")
NEVER_IN_A_PATH = ("//", "/./", "/../", "%2f", "%2F")
NEVER_AT_ITS_END = ("/..", "/.")
HOSTS_SHOWN = 3


def fill_policy(manifest: Manifest) -> None:
    """Set a NetworkPolicy's defaults, in place: its types follow from its rules, a port's protocol is TCP."""
    spec = manifest.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for _, port in _policy_ports(spec):
        port.setdefault("protocol", "TCP")


def policy_faults(spec: Manifest) -> Iterator[Fault]:
    """Yield the faults of a NetworkPolicy."""
    for path, port in _policy_ports(spec):
        if port["protocol"] not in PROTOCOLS:
            yield unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS)
        if "endPort" in port and "port" not in port:
            yield required(f"{path}.port", "must be specified when endPort is specified")
    for number, kind in enumerate(spec["policyTypes"]):
        if kind not in POLICY_TYPES:
            yield unsupported(f"spec.policyTypes[{number}]", kind, POLICY_TYPES)


def ingress_faults(spec: Manifest) -> Iterator[Fault]:
    """Yield the faults of an Ingress."""
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield unacceptable("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend"):
        yield from _backend_faults("spec.defaultBackend", spec["defaultBackend"])
    for number, rule in enumerate(spec.get("rules") or ()):
        for at, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            yield from _path_faults(f"spec.rules[{number}].http.paths[{at}]", path)


def ingress_cells(ingress: Manifest) -> tuple[str, str, str, str]:
    """Return the cells between an Ingress's name and its age: class, hosts, address, ports."""
    spec, status = ingress.get("spec") or {}, ingress.get("status") or {}
    entries = (status.get("loadBalancer") or {}).get("ingress") or ()
    addresses = {entry.get("ip") or entry.get("hostname") or "" for entry in entries} - {""}
    ports = "80, 443" if spec.get("tls") else "80"
    return spec.get("ingressClassName") or "<none>", _hosts(spec.get("rules") or []), ",".join(sorted(addresses)), ports


def _hosts(rules: list[Manifest]) -> str:
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    shown = ",".join(hosts[:HOSTS_SHOWN]) or "*"
    return f"{shown} + {len(rules) - HOSTS_SHOWN} more..." if len(hosts) > HOSTS_SHOWN else shown


def _policy_ports(spec: Manifest) -> Iterator[tuple[str, Manifest]]:
    for direction in ("ingress", "egress"):
        for number, rule in enumerate(spec.get(direction) or ()):
            for at, port in enumerate(rule.get("ports") or ()):
                yield f"spec.{direction}[{number}].ports[{at}]", port


def _path_faults(where: str, path: Manifest) -> Iterator[Fault]:
    kind, text = path.get("pathType"), path.get("path") or ""
    if kind is None:
        yield required(f"{where}.pathType", "pathType must be specified")
        return
    if kind not in PATH_TYPES:
        yield unsupported(f"{where}.pathType", kind, PATH_TYPES)
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        yield unacceptable(f"{where}.path", text, "must be an absolute path")
    elif kind != "ImplementationSpecific":
        for sequence in NEVER_IN_A_PATH:
            if sequence in text:
                yield unacceptable(f"{where}.path", text, f"must not contain '{sequence}'")
        for suffix in NEVER_AT_ITS_END:
            if text.endswith(suffix):
                yield unacceptable(f"{where}.path", text, f"cannot end with '{suffix}'")
    yield from _backend_faults(f"{where}.backend", path.get("backend") or {})


def _backend_faults(where: str, backend: Manifest) -> Iterator[Fault]:
    service: Any = backend.get("service")
    if service and backend.get("resource"):
        yield unacceptable(where, "", "cannot set both resource and service backends")
    elif service:
        port = service.get("port") or {}
        if not service.get("name"):
            yield required(f"{where}.service.name")
        if port.get("name") and port.get("number"):
            yield unacceptable(where, "", "cannot set both port name & port number")
        elif not port.get("name") and not port.get("number"):
            yield required(where, "port name or number is required")
    elif not backend.get("resource"):
        yield unacceptable(where, "", "resource or service backend is required")
