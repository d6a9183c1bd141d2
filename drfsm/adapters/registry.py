"""What an image is built for, and which digests name it: asked of its registry, without credentials.

Speaks the OCI distribution protocol. Reads manifests only, never layers. A registry that wants a login (most private
ones do) says so, and nothing is known then: that is no failure of the image. Speaks HTTPS but on loopback. What a
registry answers is a claim: a login is looked for within its own domain only, a redirect is followed by HTTPS and
without the token, and what is named by a digest must have it. Implements world.Registry.
"""

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from drfsm.claims import bounded, field, object_of
from drfsm.errors import ActionFailed, Unreachable, Unreadable

SECONDS, LARGEST_BYTES = 5.0, 4 << 20
INDEX = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ASKS = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = ("localhost", "127.0.0.1")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHITECTURE = re.compile(r"[a-z0-9_]{1,32}")
_TOKEN = re.compile(r"[!-~]{1,16384}")


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
        """Return what an image is built for. Raises Unreachable, Unreadable or ActionFailed where that isn't told."""
        at = parsed(image)
        ask = _Asking(at)
        manifest = ask.json(f"manifests/{at.reference}", (*INDEX, *MANIFEST))
        return sorted(set(_of_index(manifest) if "manifests" in manifest else _of_manifest(ask, manifest)))

    def digests(self, image: str) -> Sequence[str]:
        """Return the digests that name an image now: of what its tag leads to, and of the parts of that.

        Raises Unreachable, Unreadable or ActionFailed where that isn't told.
        """
        at = parsed(image)
        body = _Asking(at).body(f"manifests/{at.reference}", (*INDEX, *MANIFEST))
        parts = object_of(body, f"what {at.host} answers", largest_bytes=LARGEST_BYTES).get("manifests") or []
        entries = [str(part.get("digest")) for part in parts if isinstance(part, dict)]
        whole = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return [whole, *sorted({entry for entry in entries if _DIGEST.fullmatch(entry)} - {whole})]


def _of_index(index: Mapping[str, Any]) -> Iterator[str]:
    for entry in field(index, "manifests", list, "the image's index"):
        platform = entry.get("platform") if isinstance(entry, dict) else None
        name = platform.get("architecture") if isinstance(platform, dict) else None
        if name and name != "unknown":  # attestations lie there as unknown
            yield _architecture(name)


def _of_manifest(ask: "_Asking", manifest: Mapping[str, Any]) -> Iterator[str]:
    digest = field(field(manifest, "config", dict, "the image's manifest"), "digest", str, "the image's manifest")
    if not _DIGEST.fullmatch(digest):
        raise Unreadable(f"the image's manifest names no configuration, but {bounded(digest, 100)}")
    if name := ask.json(f"blobs/{digest}", ()).get("architecture"):
        yield _architecture(name)


def _architecture(name: object) -> str:
    if not isinstance(name, str) or not _ARCHITECTURE.fullmatch(name):
        raise Unreadable(f"the image names an architecture that is none: {bounded(name, 100)}")
    return name


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a registry to where it keeps its blobs: by HTTPS only, and without the token."""

    max_redirections = 4

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to follow with. Raises HTTPError where it is not followed."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme != "https" and (new.scheme, new.netloc) != (old.scheme, old.netloc):
            raise urllib.error.HTTPError(newurl, code, "redirect to an open wire", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and new.netloc != old.netloc:
            request.remove_header("Authorization")
        return request


class _Asking:
    """One image's registry; the token that it gave is kept."""

    def __init__(self, at: Image) -> None:
        self._at, self._token = at, ""
        self._scheme = "http" if at.host.partition(":")[0] in _LOOPBACK else "https"
        self._opener = urllib.request.build_opener(_Redirects())

    def json(self, path: str, accept: Sequence[str]) -> Mapping[str, Any]:
        """Return what lies at a path, as ``body`` does."""
        return object_of(self.body(path, accept), f"what {self._at.host} answers", largest_bytes=LARGEST_BYTES)

    def body(self, path: str, accept: Sequence[str]) -> bytes:
        """Return what lies at a path, asking for a token once. What is named by its digest must have that digest."""
        url = f"{self._scheme}://{self._at.host}/v2/{self._at.name}/{path}"
        try:
            body = self._get(url, accept)
        except urllib.error.HTTPError as fault:
            if fault.code != 401 or self._token:  # noqa: PLR2004  HTTP's own number
                raise ActionFailed(f"{self._at.host} answers {fault.code}", fault="store") from None
            self._token = self._asked_for(fault.headers.get("WWW-Authenticate") or "")
            return self.body(path, accept)
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise Unreachable(f"{self._at.host} does not answer ({bounded(fault)})") from None
        reference = path.rpartition("/")[2]
        if _DIGEST.fullmatch(reference) and f"sha256:{hashlib.sha256(body).hexdigest()}" != reference:
            raise Unreadable(f"{self._at.host} answers with something else than {reference}")
        return body

    def _get(self, url: str, accept: Sequence[str]) -> bytes:
        headers = {"Accept": ", ".join(accept)} if accept else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  the scheme is ours
        with self._opener.open(request, timeout=SECONDS) as answer:
            body: bytes = answer.read(LARGEST_BYTES + 1)
        if len(body) > LARGEST_BYTES:
            raise Unreadable(f"{url} has more than {LARGEST_BYTES} bytes")
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
            answer = object_of(self._get(f"{realm}?{query}", ()), "the token")
        except (Unreadable, OSError, http.client.HTTPException, ValueError):
            answer = {}
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ActionFailed(f"{self._at.host} gives no token without a login", fault="store")
        return token

    def _safe(self, realm: str) -> bool:
        """Return whether a login lies with the registry itself: HTTPS within its domain, or its own loopback."""
        try:
            parts, host = urlsplit(realm), self._at.host.rpartition(":")[0] or self._at.host
        except ValueError:
            return False
        named = parts.hostname or ""
        if host in _LOOPBACK:
            return parts.scheme in ("http", "https") and named in _LOOPBACK
        own = ".".join(host.rsplit(".", 2)[-2:])
        return parts.scheme == "https" and (named == own or named.endswith(f".{own}"))
