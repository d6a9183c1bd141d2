"""What an image is built for, asked of its registry by the OCI distribution protocol, without credentials.

Reads manifests only, never layers. A registry that wants a login (most private ones do) says so, and nothing is
known then: that is no failure of the image. Speaks HTTPS but on loopback. Implements world.Registry.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from drfsm.errors import ActionFailed, Unreachable

SECONDS, LARGEST_BYTES = 5.0, 4 << 20
INDEX = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ASKS = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = ("localhost", "127.0.0.1")


class Image(NamedTuple):
    """Where an image lies."""

    host: str
    name: str
    reference: str


def parsed(image: str) -> Image:
    """Return where an image lies. Raises ActionFailed for what names none, or leaves it to the cluster's default."""
    rest, _, digest = image.partition("@")
    host, slash, name = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        raise ActionFailed(f"{image!r} names no registry: which one is meant is the cluster's matter", fault="operator")
    last = name.rpartition("/")[2]
    tag = last.partition(":")[2] if ":" in last else ""
    name = name.removesuffix(f":{tag}") if tag else name
    if not name:
        raise ActionFailed(f"{image!r} names no image", fault="operator")
    return Image(host, name, digest or tag or "latest")


class ImageRegistry:
    """Asks whichever registry an image names."""

    def architectures(self, image: str) -> Sequence[str]:
        """Return what an image is built for. Raises Unreachable or ActionFailed where that isn't told."""
        at = parsed(image)
        ask = _Asking(at)
        found = ask.json(f"manifests/{at.reference}", (*INDEX, *MANIFEST))
        return sorted(set(_of_index(found) if "manifests" in found else _of_manifest(ask, found)))


def _of_index(index: Mapping[str, Any]) -> Iterator[str]:
    for each in index["manifests"]:
        told = (each.get("platform") or {}).get("architecture")
        if told and told != "unknown":  # attestations lie there as unknown
            yield str(told)


def _of_manifest(ask: "_Asking", manifest: Mapping[str, Any]) -> Iterator[str]:
    digest = (manifest.get("config") or {}).get("digest")
    if not digest:
        raise ActionFailed("its manifest names no configuration", fault="store")
    told = ask.json(f"blobs/{digest}", ()).get("architecture")
    if told:
        yield str(told)


class _Asking:
    """One image's registry; the token that it gave is kept."""

    def __init__(self, at: Image) -> None:
        self._at, self._token = at, ""
        self._scheme = "http" if at.host.partition(":")[0] in _LOOPBACK else "https"

    def json(self, path: str, accept: Sequence[str]) -> Mapping[str, Any]:
        """Return what lies at a path, asking for a token once."""
        url = f"{self._scheme}://{self._at.host}/v2/{self._at.name}/{path}"
        try:
            body = self._get(url, accept)
        except urllib.error.HTTPError as fault:
            if fault.code != 401 or self._token:  # noqa: PLR2004  HTTP's own number
                raise ActionFailed(f"{self._at.host} answers {fault.code}", fault="store") from None
            self._token = self._asked_for(fault.headers.get("WWW-Authenticate") or "")
            return self.json(path, accept)
        except (urllib.error.URLError, OSError) as fault:
            raise Unreachable(f"{self._at.host} does not answer ({fault})") from None
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ActionFailed(f"{self._at.host} answers with no JSON object", fault="store")
        return found

    def _get(self, url: str, accept: Sequence[str]) -> bytes:
        headers = {"Accept": ", ".join(accept)} if accept else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  the scheme is ours
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  likewise
            body: bytes = answer.read(LARGEST_BYTES + 1)
        if len(body) > LARGEST_BYTES:
            raise ActionFailed(f"{url} has more than {LARGEST_BYTES} bytes", fault="store")
        return body

    def _asked_for(self, challenge: str) -> str:
        """Return a token for anybody, as the registry's challenge says where to get one."""
        kind, _, rest = challenge.partition(" ")
        asks = dict(_ASKS.findall(rest))
        realm = asks.get("realm", "")
        if kind.lower() != "bearer" or not self._safe(realm):
            raise ActionFailed(f"{self._at.host} wants a login", fault="store")
        scope = asks.get("scope") or f"repository:{self._at.name}:pull"
        query = urlencode({"service": asks.get("service", ""), "scope": scope})
        try:
            found = json.loads(self._get(f"{realm}?{query}", ()))
            return str(found.get("token") or found["access_token"])
        except (urllib.error.URLError, OSError, ValueError, KeyError, AttributeError):
            raise ActionFailed(f"{self._at.host} gives no token without a login", fault="store") from None

    @staticmethod
    def _safe(realm: str) -> bool:
        parts = urlsplit(realm)
        return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
