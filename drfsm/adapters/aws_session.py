"""Calls to AWS's services: clients, endpoints, and the meaning of a failed call. The only importer of boto3.

Without ``--endpoint-url``, botocore chooses the endpoints: it reads AWS_ENDPOINT_URL_<SERVICE> before
AWS_ENDPOINT_URL, the profile's ``services`` section and ``endpoint_url`` in the config file, and
AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, for each service by itself. A flag holds for every service.

Owns the classification of failures: 412 and 409 are Conflict, other 4xx ActionFailed. A failure that says nothing
about the world is Unreachable (timeouts, 5xx, no connection, expired credentials) or Unreadable (an invalid response).
An object is absent only if the service says so with its own error code: a proxy's 404 page has none.
"""

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from drfsm.adapters import limits
from drfsm.adapters.aws_answers import WAY, Times, Unworded, watch
from drfsm.adapters.waiting import reason_of, shown_address, waiting_for
from drfsm.claims import bounded, printable
from drfsm.errors import CANNOT_REACH, ActionFailed, Conflict, DrfsmError, Unreachable, Unreadable, UsageFault

if TYPE_CHECKING:
    from drfsm.adapters.bulk import Reach

CONNECT_SECONDS, READ_SECONDS, READ_TRIES = 5, 30, 4
RENEW = "renew them: `aws sso login`, or new keys in the environment or the profile; then `drfsm resume`"
NO_OBJECT, NO_POLICY, NO_IDENTITY = "NoSuchKey", "NoSuchBucketPolicy", "NoSuchEntity"
NOT_OFFERED = ("NotImplemented", "MethodNotAllowed")
"""Error codes of a store for operations that it does not offer."""
_CONFLICT = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_BUSY = frozenset({"SlowDown", "RequestTimeout", "ServiceUnavailable", "InternalError"})
EXPIRED = frozenset({
    "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidClientTokenId",
    "InvalidToken", "InvalidAccessKeyId", "UnrecognizedClientException", "AuthFailure",
})  # fmt: skip
"""Error codes for keys that are no longer valid: expired, rotated, revoked."""
_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestInTheFuture"})
_OTHER_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_CONFLICT_STATUS, _LOCKED_STATUS, _BUSY_STATUS, _SERVER_FAULT = (409, 412), (401, 403), 429, 500
_OWN_CODE = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")
_SIGNED_TOO_LATE = re.compile(r"Signature (expired|not yet current)")
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_HTTP_TIME = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
_AWS_HOST = re.compile(r"(.+\.)?(amazonaws\.com(\.cn)?|api\.aws|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov)")


@cache
def _loader(data_path: str | None) -> Any:
    """Return a loader of the service descriptions below a path, shared: loading EC2's alone takes 0.25 s."""
    from botocore.loaders import create_loader

    return create_loader(data_path)


def parsed_time(value: Any) -> datetime:
    """Return a time of an answer, as botocore reads it. Raises ValueError.

    botocore guesses at a time's form with dateutil, which takes most of the time of a long listing. The two forms in
    which S3 says it are read directly; whatever else there is, botocore reads.
    """
    from botocore.utils import parse_timestamp

    with suppress(ValueError):
        if isinstance(value, str) and _ISO_TIME.fullmatch(value):
            return datetime.fromisoformat(value)
        if isinstance(value, str) and _HTTP_TIME.fullmatch(value):
            return parsedate_to_datetime(value)
    moment: datetime = parse_timestamp(value)
    return moment


class Services:
    """Clients of one account, made on first use. Raises UsageFault for an endpoint that is not a URL."""

    def __init__(self, endpoint_url: str | None, region: str | None) -> None:
        self._endpoint_url = checked_endpoint(endpoint_url, "--endpoint-url") if endpoint_url else None
        self._region = region
        self._clients: dict[tuple[str, bool], Any] = {}
        self._core: Any = None
        self._made_session: Any = None
        self._lock = threading.Lock()
        self.times = Times()

    def client(self, service: str, *, once: bool = False) -> Any:
        """Return a client; with ``once`` it never retries by itself. aws_answers checks its responses."""
        with self._lock:  # making clients is not thread-safe; using them is
            if (service, once) not in self._clients:
                self._clients[service, once] = self._made(service, once=once)
            return self._clients[service, once]

    def _made(self, service: str, *, once: bool) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": 1 if once else READ_TRIES},
        )
        client = self._bare(service, config)
        watch(client, service, self._heard if service == "s3" else lambda _headers: None)
        if service == "s3":
            client.meta.events.register("before-parameter-build.s3", _counted)
        return client

    def _bare(self, service: str, config: Any) -> Any:
        from botocore import exceptions as boto

        try:
            client = self._session().client(service, endpoint_url=self._endpoint_url, config=config)
        except ValueError as fault:  # botocore raises it for an invalid URL
            raise UsageFault(
                f"the endpoint of {service.upper()} is not a valid URL: {bounded(fault)}",
                hint="check AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 and the profile's endpoint_url",
            ) from None
        except boto.BotoCoreError as fault:
            raise meaning(f"finding {service.upper()}", fault) from None
        checked_endpoint(client.meta.endpoint_url, f"the endpoint of {service.upper()}")
        return client

    def _heard(self, headers: Mapping[str, Any]) -> None:
        self.times.keep(str(headers.get("date", "")))

    def _session(self) -> Any:
        """Return the session, the only source of credentials."""
        if self._made_session is None:
            import boto3
            import botocore.session

            self._core = botocore.session.get_session()
            self._core.register_component("data_loader", _loader(self._core.get_config_variable("data_path")))
            self._core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parsed_time)
            self._made_session = boto3.session.Session(botocore_session=self._core, region_name=self._region)
            paths = self._core.get_component("data_loader").search_paths
            paths[:] = dict.fromkeys(paths)  # every session of boto3 adds its own, and the loader is shared
        return self._made_session

    def signer(self) -> Any:
        """Return an S3 client that signs URLs with Signature Version 4, which every region accepts."""
        from botocore.config import Config

        with self._lock:
            config = Config(signature_version="s3v4", connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
            return self._bare("s3", config)

    def credentials_until(self) -> datetime | str:
        """Return when the credentials end; a word where no end is known. Raises Unreachable where there are none.

        ``static``: keys without an end; ``renewed``: botocore renews them; ``temporary``: nobody says when they end.
        """
        from botocore.exceptions import NoCredentialsError

        def found() -> Any:
            if (credentials := self._session().get_credentials()) is None:
                raise NoCredentialsError
            return credentials, credentials.get_frozen_credentials()

        credentials, frozen_now = call("reading the AWS credentials", found)
        until = getattr(credentials, "_expiry_time", None)
        if isinstance(until, datetime) and credentials.method == "env":  # which nobody renews
            return until
        if until is not None:
            return "renewed"
        return "temporary" if frozen_now.token else "static"

    def in_region(self, region: str) -> "Services":
        """Return the clients of a region of the same account: these, if it is theirs."""
        return self if region == self.client("s3").meta.region_name else Services(self._endpoint_url, region)

    def endpoint(self, service: str) -> str:
        """Return the URL of a service. Makes no call."""
        return str(self.client(service).meta.endpoint_url)

    def is_elsewhere(self) -> bool:
        """Return whether the store is not AWS's S3: then there may be no service for accounts, machines and roles."""
        return not _AWS_HOST.fullmatch(urlsplit(self.endpoint("s3")).hostname or "")

    def reach(self) -> "Reach":
        """Return how boto3 reaches S3, so that bulk.py can use the same server and credentials."""
        from drfsm.adapters.bulk import Reach

        meta = self.client("s3").meta
        region = "us-east-1" if meta.region_name == "aws-global" else meta.region_name
        return Reach(meta.endpoint_url, region, self._session(), self._core.get_config_variable("ca_bundle"))


def _counted(params: Mapping[str, Any], **_more: Any) -> None:
    """Count a request to a bucket, and wait as its rate asks. Raises ActionFailed beyond a run's bound."""
    limits.sending("s3", str(params.get("Bucket", "")))


def checked_endpoint(url: str, said_by: str) -> str:
    """Return an endpoint if it is a valid URL. Raises UsageFault."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        good = good and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        shown = bounded(url.rpartition("@")[2], 100)
        hint = "give it as https://HOST[:PORT], without a name or a password"
        raise UsageFault(f"{said_by} {shown!r} is not the URL of a service", hint=hint)
    return url


def resolved_endpoint(endpoint_url: str | None, region: str | None) -> str:
    """Return the URL of S3 that would be used: the flag's, else the one that botocore configures. Makes no call.

    It identifies the store: two processes with the same URL use the same S3. Raises UsageFault for an invalid URL,
    Unreachable where no region is set or the profile does not exist.
    """
    return checked_endpoint(Services(endpoint_url or None, region or None).endpoint("s3"), "the endpoint of S3")


# --- what a call that fails means ----------------------------------------------------------------------------


def code_of(fault: Any) -> str:
    """Return the service's own error code; "" where the response had none and botocore invented one."""
    code = str(fault.response.get("Error", {}).get("Code", ""))
    return code if _OWN_CODE.fullmatch(code) else ""


def status_of(fault: Any) -> int:
    """Return the HTTP status of a ClientError."""
    return int(fault.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def refusal(what: str, status: int, code: str, message: str) -> DrfsmError:
    """Return the error for a service's unsuccessful response; ``code`` is "" where the response has none."""
    what, message = printable(what), bounded(message)
    if (keys := _of_keys(what, code, message)) is not None:
        return keys
    if code in _CONFLICT or (code and status in _CONFLICT_STATUS):
        return Conflict(f"{what}: another process wrote it in between ({code or status})")
    if code in NOT_OFFERED:
        return ActionFailed(f"{what}: the service does not offer it ({code})", hint="see docs/stores.md", fault="store")
    if status >= _SERVER_FAULT or status == _BUSY_STATUS or code in _BUSY:
        return Unreachable(f"{what}: the service answered {status} {code}".rstrip(), hint="drfsm resume", fault="store")
    if not code:
        return Unworded(f"{what}: the response is {status} without the service's own error code", hint=WAY)
    hint = "check the credentials and their policy" if status in _LOCKED_STATUS else "check the name"
    if code in _OTHER_REGION:
        hint = "name the bucket's region with --region"
    return ActionFailed(f"{what}: {code or status} {message}".rstrip(), hint=hint, fault="store")


def _of_keys(what: str, code: str, message: str) -> DrfsmError | None:
    """Return the error for rejected keys or a rejected signature time, None for any other code."""
    if code in EXPIRED:
        message = f"{what}: the AWS credentials are invalid or expired ({code})"
        return Unreachable(message, hint=RENEW, fault="operator")
    if code in _CLOCK or _SIGNED_TOO_LATE.search(message):
        return Unreachable(
            f"{what}: this machine's clock differs too much from the service's ({code})",
            hint="set the clock (timedatectl set-ntp true), then `drfsm resume`",
            fault="operator",
        )
    return None


def meaning(what: str, fault: Exception) -> DrfsmError:
    """Return the error for an exception of botocore's. Its message may be shown: boto keeps credentials out of it."""
    from botocore import exceptions as boto

    what = printable(what)
    if isinstance(fault, boto.ClientError):
        return refusal(what, status_of(fault), code_of(fault), str(fault.response.get("Error", {}).get("Message", "")))
    if (credentials := _of_credentials(what, fault)) is not None:
        return credentials
    if isinstance(fault, boto.NoRegionError | boto.InvalidRegionError):
        return Unreachable(
            f"{what}: no AWS region is set", fault="operator", hint="give --region, or export AWS_REGION"
        )
    if isinstance(fault, boto.ParamValidationError):
        complaint = " ".join(bounded(line) for line in str(fault).splitlines())
        return ActionFailed(f"{what}: {complaint}", hint="check the name in the command", fault="operator")
    if isinstance(fault, boto.BotoCoreError | OSError) and not isinstance(fault, boto.FlexibleChecksumError):
        words = f"{type(fault).__name__}: {bounded(fault)}"
        return Unreachable(
            f"{what}: {words}",
            hint="check the network, then try again (a run: `drfsm resume`)",
            fault="store",
            cause=_unreached(fault),
        )
    return Unreadable(f"{what}: the response can't be read: {_unread(fault)}", hint=WAY)


def _unreached(fault: Exception) -> str:
    """Return that a service gives no answer, in the same words for each request; "" where its address is not known."""
    url = str(getattr(fault, "kwargs", {}).get("endpoint_url") or "")
    place = urlsplit(url)._replace(path="", query="", fragment="").geturl()
    return f"{CANNOT_REACH}the store ({reason_of(fault)}): {shown_address(place)}" if url else ""


def _unread(fault: Exception) -> str:
    """Return why botocore could not read a response, in place of the Python exception's own text."""
    from botocore.exceptions import FlexibleChecksumError
    from botocore.parsers import ResponseParserError

    if isinstance(fault, FlexibleChecksumError):
        return "it does not match its checksum"
    if isinstance(fault, ResponseParserError):
        return bounded(fault)
    return "it does not have the format of this service's responses"


def _of_credentials(what: str, fault: Exception) -> DrfsmError | None:
    """Return the error for credentials that can't be obtained or renewed, None for any other failure."""
    from botocore import exceptions as boto

    if isinstance(fault, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound):
        return Unreachable(
            f"{what}: no usable AWS credentials ({type(fault).__name__})",
            fault="operator",
            hint="export AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then try again",
        )
    renewing = (
        boto.CredentialRetrievalError,
        boto.TokenRetrievalError,
        boto.SSOError,
        boto.InvalidConfigError,
        boto.MetadataRetrievalError,
        boto.RefreshWithMFAUnsupportedError,
    )
    # Still expired after the renewal: botocore has no exception class for that.
    if isinstance(fault, renewing) or (isinstance(fault, RuntimeError) and "expired" in str(fault)):
        message = f"{what}: the AWS credentials could not be renewed ({type(fault).__name__}: {bounded(fault)})"
        return Unreachable(message, hint=RENEW, fault="operator")
    return None


def call(what: str, request: Callable[[], Any], *absent: str, awaited: bool = False) -> Any:
    """Make a request through botocore; return None where the service responds with one of the codes ``absent``.

    Raises the error for its failure. ``request`` may only call botocore: any exception in it counts as a fault of the
    response. ``awaited``: the service itself waits before it answers, which is no silence to be told of.
    """
    from botocore.exceptions import ClientError

    words = f"an answer to: {printable(what)} (given up after {READ_TRIES} tries of {READ_SECONDS} s)"
    try:
        with nullcontext() if awaited else waiting_for(words):
            return request()
    except DrfsmError:
        raise
    except ClientError as fault:
        if code_of(fault) in absent and status_of(fault) != _SERVER_FAULT:
            return None
        raise meaning(what, fault) from None
    except Exception as fault:  # noqa: BLE001  botocore's parsers raise whatever a garbled answer makes Python raise
        raise meaning(what, fault) from None
