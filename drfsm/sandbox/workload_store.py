"""S3 as the sandbox's workload needs it: read one object, write one object, over the standard library.

The workload stands for somebody else's image, so it shares no code with drfsm's own S3 adapter, and it
starts in a tenth of a second because it loads no SDK: a sandbox runs it hundreds of times. Requests are
signed with AWS Signature Version 4, path style, one connection each; what fails on the way or with a
5xx is tried three times. It refuses to guess: a bucket or credentials that are missing are ``StoreFault``.
"""

import hashlib
import hmac
import http.client
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

ATTEMPTS = 3
PAUSE_SECONDS = 0.1
TIMEOUT_SECONDS = 10.0

_OK, _NOT_FOUND, _SERVER_FAULT = 200, 404, 500


class StoreFault(Exception):
    """S3 refused, or could not be reached."""


class Store:
    """One bucket, as the environment (``AWS_*``) describes it."""

    def __init__(self, bucket: str, environ: Mapping[str, str]) -> None:
        self.bucket = bucket
        self.region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self.endpoint = (
            environ.get("AWS_ENDPOINT_URL_S3")
            or environ.get("AWS_ENDPOINT_URL")
            or f"https://s3.{self.region}.amazonaws.com"
        )
        self._access_key_id = environ.get("AWS_ACCESS_KEY_ID", "")
        self._secret = environ.get("AWS_SECRET_ACCESS_KEY", "")
        self._session_token = environ.get("AWS_SESSION_TOKEN", "")

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes; None if there is none."""
        status, body = self._request("GET", key, b"", "")
        return None if status == _NOT_FOUND else body

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        """Write an object unconditionally, as this workload does."""
        status, _ = self._request("PUT", key, body, content_type)
        if status == _NOT_FOUND:
            raise StoreFault(f"no bucket {self.bucket}")

    def _request(self, method: str, key: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        if not self._access_key_id or not self._secret:
            raise StoreFault("no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
        fault = ""
        for attempt in range(ATTEMPTS):
            time.sleep(PAUSE_SECONDS * attempt)
            try:
                status, answer = self._send(method, key, body, content_type)
            except (OSError, http.client.HTTPException) as failed:
                fault = f"{self.endpoint} did not answer: {failed or type(failed).__name__}"
                continue
            if status in (_OK, _NOT_FOUND):
                return status, answer
            fault = f"{method} {key}: {status} {answer[:200].decode(errors='replace')}"
            if status < _SERVER_FAULT:
                break
        raise StoreFault(fault)

    def _send(self, method: str, key: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        where = urlsplit(self.endpoint)
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        path = quote(f"{where.path.rstrip('/')}/{self.bucket}/{key}", safe="/~")
        connection = kind(where.netloc, timeout=TIMEOUT_SECONDS)
        try:
            headers = self.signed(method, path, where.netloc, body, datetime.now(UTC))
            if content_type:
                headers["Content-Type"] = content_type
            connection.request(method, path, body=body if method == "PUT" else None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def signed(self, method: str, path: str, host: str, body: bytes, now: datetime) -> dict[str, str]:
        """Return the headers of a signed request; ``path`` is already percent-encoded.

        The rule: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
        """
        moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
        if self._session_token:
            headers["x-amz-security-token"] = self._session_token
        names = ";".join(headers)
        listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = hashlib.sha256(f"{method}\n{path}\n\n{listed}\n{names}\n{digest}".encode()).hexdigest()
        scope = f"{day}/{self.region}/s3/aws4_request"
        key = f"AWS4{self._secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{request}"
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers
