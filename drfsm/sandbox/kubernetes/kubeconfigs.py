"""Kubeconfigs of the sandbox's own users: one cluster, one user with a bearer token, readable by its owner only."""

import os
from base64 import b64encode
from pathlib import Path

import yaml


def write_kubeconfig(path: Path, name: str, url: str, authority: str, user: str, token: str) -> None:
    """Write a kubeconfig. ``authority`` is the cluster's CA certificate, in PEM."""
    cluster = {"server": url, "certificate-authority-data": b64encode(authority.encode()).decode()}
    context = {"cluster": name, "user": user, "namespace": "default"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
        "preferences": {},
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        os.fchmod(number, 0o600)
        file.write(text)
