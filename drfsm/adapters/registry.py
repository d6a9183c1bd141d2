"""The architectures and digests of an image, read from its registry by the OCI distribution protocol.

Reads manifests only, never layers. AWS's registry gets a login of the operator's own account; any other that requires
one (most private ones do) gives no result, which is not a fault of the image. Uses HTTPS except on loopback. A
registry's response is only a claim: its login service must be in its own domain, a redirect is followed by HTTPS and
without the login, and content named by a digest must match it. Implements world.Registry.
"""

import base64
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
from drfsm.world import PullTokens

SECONDS, LARGEST_BYTES = 5.0, 4 << 20
INDEX = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ASKS = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = ("localhost", "127.0.0.1")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHITECTURE = re.compile(r"[a-z0-9_]{1,32}")
_TOKEN = re.compile(r"[!-~]{1,16384}")


class Image(NamedTuple):
    """The location of an image."""

    host: str
    name: str
    reference: str


def parsed(image: str) -> Image:
    """Return an image's location. Raises ActionFailed for an invalid name, or one without a registry."""
    rest, _, digest = image.partition("@")
    host, slash, name = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        raise ActionFailed(
            f"{image!r} names no registry: the cluster's default decides which one is used", fault="operator"
        )
    last = name.rpartition("/")[2]
    tag = last.partition(":")[2] if ":" in last else ""
    name = name.removesuffix(f":{tag}") if tag else name
    if not name:
        raise ActionFailed(f"{image!r} is not the name of an image", fault="operator")
    return Image(host, name, digest or tag or "latest")


class ImageRegistry:
    """Reads from the registry that an image names; with a login if ``tokens`` gives one for it."""

    def __init__(self, tokens: PullTokens | None = None) -> None:
        self._tokens = tokens

    def architectures(self, image: str) -> Sequence[str]:
        """Return an image's architectures. Raises Unreachable, Unreadable or ActionFailed if they are unknown."""
        at = parsed(image)
        ask = _Asking(at, self._tokens)
        manifest = ask.json(f"manifests/{at.reference}", (*INDEX, *MANIFEST))
        return sorted(set(_of_index(manifest) if "manifests" in manifest else _of_manifest(ask, manifest)))

    def digests(self, image: str) -> Sequence[str]:
        """Return the digests that name an image now: of what its tag leads to, and of the parts of that.

        Raises Unreachable, Unreadable or ActionFailed if they are unknown.
        """
        at = parsed(image)
        body = _Asking(at, self._tokens).body(f"manifests/{at.reference}", (*INDEX, *MANIFEST))
        parts = object_of(body, f"the response of {at.host}", largest_bytes=LARGEST_BYTES).get("manifests") or []
        entries = [str(part.get("digest")) for part in parts if isinstance(part, dict)]
        whole = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return [whole, *sorted({entry for entry in entries if _DIGEST.fullmatch(entry)} - {whole})]


def _of_index(index: Mapping[str, Any]) -> Iterator[str]:
    for entry in field(index, "manifests", list, "the image's index"):
        platform = entry.get("platform") if isinstance(entry, dict) else None
        name = platform.get("architecture") if isinstance(platform, dict) else None
        if name and name != "unknown":  # attestations are listed as unknown
            yield _architecture(name)


def _of_manifest(ask: "_Asking", manifest: Mapping[str, Any]) -> Iterator[str]:
    digest = field(field(manifest, "config", dict, "the image's manifest"), "digest", str, "the image's manifest")
    if not _DIGEST.fullmatch(digest):
        raise Unreadable(f"the image's manifest names no valid configuration: {bounded(digest, 100)}")
    if name := ask.json(f"blobs/{digest}", ()).get("architecture"):
        yield _architecture(name)


def _architecture(name: object) -> str:
    if not isinstance(name, str) or not _ARCHITECTURE.fullmatch(name):
        raise Unreadable(f"the image has an invalid architecture: {bounded(name, 100)}")
    return name


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a registry's redirects to its blobs: by HTTPS only, and without the token."""

    max_redirections = 4

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the redirected request. Raises HTTPError for a redirect that is refused."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme != "https" and (new.scheme, new.netloc) != (old.scheme, old.netloc):
            raise urllib.error.HTTPError(newurl, code, "redirect to a URL without TLS", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and new.netloc != old.netloc:
            request.remove_header("Authorization")
        return request


class _Asking:
    """One image's registry, and the login that it accepted."""

    def __init__(self, at: Image, tokens: PullTokens | None = None) -> None:
        self._at, self._tokens, self._login = at, tokens, ""
        self._scheme = "http" if at.host.partition(":")[0] in _LOOPBACK else "https"
        self._opener = urllib.request.build_opener(_Redirects())

    def json(self, path: str, accept: Sequence[str]) -> Mapping[str, Any]:
        """Return the JSON content of a path, as ``body`` does."""
        return object_of(self.body(path, accept), f"the response of {self._at.host}", largest_bytes=LARGEST_BYTES)

    def body(self, path: str, accept: Sequence[str]) -> bytes:
        """Return the content of a path; gets a token once. Content named by a digest must match it."""
        url = f"{self._scheme}://{self._at.host}/v2/{self._at.name}/{path}"
        try:
            body = self._get(url, accept)
        except urllib.error.HTTPError as fault:
            if fault.code != 401 or self._login:  # noqa: PLR2004  HTTP's own number
                raise ActionFailed(f"{self._at.host} answers {fault.code}", fault="store") from None
            challenge = fault.headers.get("WWW-Authenticate") or ""
            self._login = self._own_login(challenge) or f"Bearer {self._asked_for(challenge)}"
            return self.body(path, accept)
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise Unreachable(f"{self._at.host} does not answer ({bounded(fault)})") from None
        reference = path.rpartition("/")[2]
        if _DIGEST.fullmatch(reference) and f"sha256:{hashlib.sha256(body).hexdigest()}" != reference:
            raise Unreadable(f"the content from {self._at.host} does not match {reference}")
        return body

    def _get(self, url: str, accept: Sequence[str]) -> bytes:
        headers = {"Accept": ", ".join(accept)} if accept else {}
        if self._login:
            headers["Authorization"] = self._login
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  the scheme is ours
        with self._opener.open(request, timeout=SECONDS) as answer:
            body: bytes = answer.read(LARGEST_BYTES + 1)
        if len(body) > LARGEST_BYTES:
            raise Unreadable(f"the response of {url} has more than {LARGEST_BYTES} bytes")
        return body

    def _own_login(self, challenge: str) -> str:
        """Return our own login where the registry asks for one and we are given one for it; "" otherwise."""
        if self._tokens is None or not challenge.lower().startswith("basic"):
            return ""
        try:
            token = self._tokens.token(self._at.host)
        except ActionFailed:  # a registry of others: AWS is not asked
            return ""
        return f"Basic {base64.b64encode(f'{token.username}:{token.password}'.encode()).decode()}"

    def _asked_for(self, challenge: str) -> str:
        """Return an anonymous token from the service that the registry's challenge names."""
        kind, _, rest = challenge.partition(" ")
        asks = dict(_ASKS.findall(rest))
        realm = asks.get("realm", "")
        if kind.lower() != "bearer" or not self._safe(realm):
            raise ActionFailed(f"{self._at.host} requires a login", fault="store")
        scope = asks.get("scope") or f"repository:{self._at.name}:pull"
        query = urlencode({"service": asks.get("service", ""), "scope": scope})
        try:
            answer = object_of(self._get(f"{realm}?{query}", ()), "the token")
        except (Unreadable, OSError, http.client.HTTPException, ValueError):
            answer = {}
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ActionFailed(f"{self._at.host} returns no token without a login", fault="store")
        return token

    def _safe(self, realm: str) -> bool:
        """Return whether a login service belongs to the registry: HTTPS within its domain, or its own loopback."""
        try:
            parts, host = urlsplit(realm), self._at.host.rpartition(":")[0] or self._at.host
        except ValueError:
            return False
        named = parts.hostname or ""
        if host in _LOOPBACK:
            return parts.scheme in ("http", "https") and named in _LOOPBACK
        own = ".".join(host.rsplit(".", 2)[-2:])
        return parts.scheme == "https" and (named == own or named.endswith(f".{own}"))
