"""Credentials from a program that a kubeconfig names (``exec``): kubectl's credential plugins.

Runs the program with the cluster's data in KUBERNETES_EXEC_INFO and reads its ExecCredential. A program that is
missing, fails or prints something else gets its own error with the next step; it is not reported as a missing
permission. Its output never enters a message. The last line of its stderr does, without anything that may be a secret.
Called by kube_access.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm import claims
from drfsm.claims import bounded
from drfsm.errors import Unreadable, UsageFault

PROGRAM_SECONDS, PERSON_SECONDS = 60.0, 300.0  # an operator may have to log in
LARGEST_BYTES = 1 << 20
EARLY_SECONDS = 60.0  # a token is renewed this long before it expires, but not in the first half of its life
VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_.-]{24,}")


@frozen
class Keys:
    """A client certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


@frozen
class Credentials:
    """The Authorization header ("" for none), keys for TLS, and their expiry (Unix time; None: they don't expire)."""

    authorization: str
    keys: Keys | None = None
    until: float | None = None
    renewable: bool = False

    def is_over(self, now: float) -> bool:
        """Return whether they are to be renewed."""
        return self.until is not None and now >= self.until


def credentials(kubeconfig: Path, exec_: Any, cluster: Mapping[str, Any], keys: Keys | None) -> Credentials:
    """Run the program and return its credentials; ``keys`` are the kubeconfig's own. Raises Unreadable, UsageFault."""
    program = _Program(kubeconfig, _checked(kubeconfig, exec_), cluster)
    status, obtained = program.status(), time.time()
    token, certificate, key = (status.get(name) for name in ("token", "clientCertificateData", "clientKeyData"))
    if any(value is not None and not isinstance(value, str) for value in (token, certificate, key)):
        raise program.fault("its credentials are not strings")
    if not token and not (certificate and key):
        raise program.fault("it prints neither a token nor a certificate and key")
    if token and not (token.isascii() and token.isprintable()):
        raise program.fault("its token can't be sent in a header")
    own = Keys(certificate.encode(), key.encode()) if certificate and key else keys
    return Credentials(f"Bearer {token}" if token else "", own, program.until(status, obtained), renewable=True)


def _checked(kubeconfig: Path, exec_: Any) -> Mapping[str, Any]:
    """Return the program's entry. Raises UsageFault for one that names none."""
    fits = isinstance(exec_, dict) and isinstance(exec_.get("command"), str) and exec_.get("apiVersion") in VERSIONS
    fits = fits and all(isinstance(argument, str) for argument in exec_.get("args") or ())
    fits = fits and all(
        isinstance(variable, dict) and {"name", "value"} <= variable.keys() for variable in exec_.get("env") or ()
    )
    if not fits:
        raise UsageFault(
            f"the kubeconfig {kubeconfig} names a program for credentials (exec) without a command, an apiVersion of"
            f" {VERSIONS[0]} or the like, or with args or env that are not strings",
            hint=f"kubectl --kubeconfig {kubeconfig} version",
        )
    checked: Mapping[str, Any] = exec_
    return checked


@frozen
class _Program:
    """One run of a program of credentials."""

    kubeconfig: Path
    entry: Mapping[str, Any]
    cluster: Mapping[str, Any]

    def status(self) -> Mapping[str, Any]:
        """Run the program; return the status of its ExecCredential."""
        raw = self._printed()
        try:
            printed = claims.object_of(raw, "it", largest_bytes=LARGEST_BYTES)
        except Unreadable:
            raise self.fault("its output is not one JSON object") from None
        if (printed.get("kind"), printed.get("apiVersion")) != ("ExecCredential", self.entry["apiVersion"]):
            raise self.fault(f"its output is not an ExecCredential of {self.entry['apiVersion']}")
        status = printed.get("status")
        if not isinstance(status, dict):
            raise self.fault("its ExecCredential has no status")
        return status

    def until(self, status: Mapping[str, Any], obtained: float) -> float | None:
        """Return when to renew the credentials; None if they don't expire."""
        if (expires := status.get("expirationTimestamp")) is None:
            return None
        if (moment := claims.moment(expires)) is None:
            raise self.fault("its expirationTimestamp is not a time")
        end = moment.timestamp()
        return max(end - EARLY_SECONDS, obtained + (end - obtained) / 2)

    def fault(self, why: str, hint: str = "") -> Unreadable:
        """Return the error for a program that gives no credentials."""
        name = bounded(self.entry["command"], 120)
        what = f"the kubeconfig {self.kubeconfig} takes its credentials from the program {name}: {why}"
        hint = hint or f"kubectl --kubeconfig {self.kubeconfig} version  # runs the same program and shows its output"
        return Unreadable(what, hint=hint, fault="operator")

    def _printed(self) -> bytes:
        person = sys.stdin is not None and sys.stdin.isatty() and self.entry.get("interactiveMode") != "Never"
        if self.entry.get("interactiveMode") == "Always" and not person:
            raise self.fault("it needs a terminal to prompt for a login, and there is none", "run drfsm in a terminal")
        limit = PERSON_SECONDS if person else PROGRAM_SECONDS
        try:
            done = subprocess.run(
                [self._command(), *(self.entry.get("args") or ())],
                stdin=None if person else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if person else subprocess.PIPE,
                env=self._environment(person=person),
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self.fault(f"it did not end within {limit:.0f} s") from None
        except (OSError, ValueError) as fault:
            raise self.fault(f"it can't be started: {getattr(fault, 'strerror', '') or 'its arguments'}") from None
        if done.returncode:
            raise self.fault(f"it exits with {done.returncode}{_complaint(done.stderr)}")
        return done.stdout

    def _command(self) -> str:
        """Return the program's path; one with a slash is relative to the kubeconfig, as for kubectl."""
        command = str(self.entry["command"])
        if "/" in command:
            command = str(self.kubeconfig.absolute().parent / command)
        if (path := shutil.which(command)) is None:
            install_hint = bounded(self.entry.get("installHint") or "")
            hint = f"install it, or put it on the PATH, then drfsm resume{f' ({install_hint})' if install_hint else ''}"
            raise self.fault("this program is not installed on this machine", hint)
        return path

    def _environment(self, *, person: bool) -> dict[str, str]:
        own = {str(variable["name"]): str(variable["value"]) for variable in self.entry.get("env") or ()}
        spec: dict[str, Any] = {"interactive": person}
        if self.entry.get("provideClusterInfo") is True:
            kept = {name: value for name, value in self.cluster.items() if name != "extensions"}
            settings = (
                extension.get("extension")
                for extension in self.cluster.get("extensions") or ()
                if isinstance(extension, dict) and extension.get("name") == "client.authentication.k8s.io/exec"
            )
            spec["cluster"] = {**kept, "config": next(settings, None)}
        info = {"apiVersion": self.entry["apiVersion"], "kind": "ExecCredential", "spec": spec}
        return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info, default=str)}


def _complaint(stderr: bytes | None) -> str:
    """Return the last line of a program's stderr without anything that may be a secret; "" for none."""
    lines = [line.strip() for line in (stderr or b"").decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {bounded(_OPAQUE.sub('…', lines[-1]), 200)}" if lines else ""
