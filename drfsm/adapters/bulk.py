"""Many objects of one bucket at once, through obstore. Its only importer, and only when first used.

boto3 costs two milliseconds of processor time a request, and threads don't help; obstore's Rust client
keeps 128 requests in flight, which is as fast as the latency allows. Used by aws.S3Store for its ``..._many``.

Its rules:
- Results come in the order of completion, one for each request. A different count is an error, and the first failed
  request ends them all, so nothing is dropped silently.
- A body counts only if its status is 2xx, its headers are an object's, and its length is the announced one. A 404
  means "absent" only with S3's own code (NoSuchKey). Bodies above WHOLE_BYTES are hashed in a stream.
- A copy or a delete without an error is believed only when a HEAD agrees: the copy exists with its size, or the
  deleted object is gone.
- No request goes to another host than the endpoint's. obstore follows redirects with the session's token, and this
  can't be switched off, so every other host is put behind a proxy that doesn't exist. Where the environment names a
  proxy for the endpoint itself, all keys go the slow way.
- A store that hangs: after two seconds without any answer a person is told (waiting.py), and after SILENCE_SECONDS
  the requests are given up.
- ``check`` is called between completions and several times a second while none comes; if it raises, the
  requests under way are dropped before it gets out.
- Keys are sent exactly as they are. obstore strips slashes at the ends of a key and refuses empty and dotted
  segments and control characters: such keys, and copies above S3's limit for one request, go the slow way.
- Endpoint, region, credentials and certificates are boto3's, so that both use the same server.
"""

import asyncio
import hashlib
import queue
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from attrs import frozen

from drfsm.adapters import limits
from drfsm.adapters.aws_answers import WAY
from drfsm.adapters.aws_session import NO_OBJECT, call
from drfsm.adapters.aws_session import meaning as meaning_of
from drfsm.adapters.waiting import waiting_for
from drfsm.claims import bounded, printable
from drfsm.errors import ActionFailed, DrfsmError, Unreachable, Unreadable
from drfsm.world import Blob, Check, Copy, Hashed

if TYPE_CHECKING:
    from obstore.store import ClientConfig
    from obstore.store import S3Store as Client

IN_FLIGHT = 128
HELD = 4 * IN_FLIGHT  # answers that wait for the caller; more would be memory, not speed
WHOLE_BYTES = CHUNK_BYTES = 1 << 20
ONE_REQUEST_COPY_BYTES = 5 << 30  # S3's limit for CopyObject
POLL_SECONDS = 0.1
RETRIES, SILENCE_SECONDS = 3, 60.0  # a request that is silent for so long is given up, and not repeated after that
NOWHERE = "http://127.0.0.1:1"  # where nobody listens
CREDENTIALS_MINUTES = 5  # botocore renews ten minutes before the end: what it gave is good for this long

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_STATUS = re.compile(r"status code: (\d{3})")
_CODE, _MESSAGE = (re.compile(rf"<{tag}>([^<]*)</{tag}>") for tag in ("Code", "Message"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@frozen
class Reach:
    """How boto3 reaches the store. ``session`` provides the credentials."""

    endpoint_url: str
    region: str
    session: Any
    ca_bundle: str | None = None


class OneByOne(Protocol):
    """The slow way: one request after another, safe from any thread."""

    def get(self, key: str, *, largest_bytes: int) -> Blob | None:
        """Return an object, None if there is none."""

    def sha256(self, key: str) -> tuple[int, str] | None:
        """Return (bytes read, SHA-256 in hex), None if there is none."""

    def copy(self, source: str, target: str) -> None:
        """Copy an object, however large."""

    def delete(self, key: str) -> None:
        """Delete an object."""


Meaning = Callable[[str, int, str, str], DrfsmError]
"""(operation, status, code, message) -> the error for that response."""


def check_size(uri: str, size_bytes: int, largest_bytes: int) -> None:
    """Raise Unreadable for an object that is too large to be read."""
    if size_bytes > largest_bytes:
        raise Unreadable(
            f"{printable(uri)} has {size_bytes} bytes; drfsm reads at most {largest_bytes}",
            hint="find out who wrote it; restore its last good version, then `drfsm resume`",
        )


def plain(key: str) -> bool:
    """Return whether obstore requests exactly this key."""
    return not _CONTROL.search(key) and not any(segment in ("", ".", "..") for segment in key.split("/"))


class Bulk:
    """One bucket, many requests in flight."""

    def __init__(
        self,
        bucket: str,
        reach: Reach,
        slow: OneByOne,
        meaning: Meaning,
        *,
        one_request_copy_bytes: int = ONE_REQUEST_COPY_BYTES,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._bucket, self._slow, self._meaning = bucket, slow, meaning
        self._one_request_copy_bytes = one_request_copy_bytes
        self._credentials = _Credentials(reach.session)
        self._client = _client(bucket, reach, self._credentials, silence_seconds)
        self._waits_for = f"s3://{bucket} to answer (given up after {silence_seconds:.0f} s of silence)"
        self._plain = _never if _is_proxied(reach.endpoint_url) else plain

    def hash_many(self, keys: Iterable[str], check: Check | None) -> Iterator[Hashed]:
        """Read every object in a stream; yield its size and SHA-256, both None if it is absent."""
        return self._all(list(keys), self._hash, check)

    def get_many(
        self, keys: Iterable[str], check: Check | None, largest_bytes: int
    ) -> Iterator[tuple[str, Blob | None]]:
        """Yield every object with its bytes, None where there is none. For small objects."""
        return self._all(list(keys), partial(self._get, largest_bytes=largest_bytes), check)

    def copy_many(self, copies: Iterable[Copy], check: Check | None) -> Iterator[Copy]:
        """Copy on the server; yield each copy when it is made."""
        return self._all(list(copies), self._copy, check)

    def delete_many(self, keys: Iterable[str], check: Check | None) -> Iterator[str]:
        """Delete; yield each key when it is gone."""
        return self._all(list(keys), self._delete, check)

    def _all(
        self, questions: Sequence[Question], ask: Callable[[Question], Awaitable[Answer]], check: Check | None
    ) -> Iterator[Answer]:
        limits.sending("s3", self._bucket, len(questions))
        return _all(questions, ask, check, self._waits_for)

    async def _hash(self, key: str) -> Hashed:
        if not self._plain(key):
            slowly = await asyncio.to_thread(self._slow.sha256, key)
            return Hashed(key, *slowly) if slowly else Hashed(key)
        return await self._asked(f"reading {self._uri(key)}", self._read(key), absent=Hashed(key))

    async def _read(self, key: str) -> Hashed:
        import obstore

        answer = await obstore.get_async(self._client, key)
        promised, size, digest = answer.meta["size"], 0, hashlib.sha256()
        self._etag(key, answer.meta)
        if promised <= WHOLE_BYTES:
            body = await answer.bytes_async()
            digest.update(body)
            size = len(body)
        else:
            async for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        self._whole(key, size, promised)
        return Hashed(key, size, digest.hexdigest())

    async def _get(self, key: str, *, largest_bytes: int) -> tuple[str, Blob | None]:
        if not self._plain(key):
            return key, await asyncio.to_thread(self._slow.get, key, largest_bytes=largest_bytes)
        return key, await self._asked(f"reading {self._uri(key)}", self._body(key, largest_bytes), absent=None)

    async def _body(self, key: str, largest_bytes: int) -> Blob | None:
        import obstore

        answer = await obstore.get_async(self._client, key)
        check_size(self._uri(key), answer.meta["size"], largest_bytes)
        body = (await answer.bytes_async()).to_bytes()
        self._whole(key, len(body), answer.meta["size"])
        return Blob(key, body, self._etag(key, answer.meta))

    async def _copy(self, copy: Copy) -> Copy:
        import obstore

        what = f"copying {self._uri(copy.source)} to {self._uri(copy.target)}"
        fast = self._plain(copy.source) and self._plain(copy.target)
        if not fast or copy.size_bytes > self._one_request_copy_bytes:
            await asyncio.to_thread(self._slow.copy, copy.source, copy.target)
            return copy
        request = obstore.copy_async(self._client, copy.source, copy.target)
        if not await self._asked(what, _done(request), absent=False):
            raise ActionFailed(f"{what}: the source no longer exists", fault="store")
        size = await self._size(copy.target)
        if size != copy.size_bytes:
            state = "the copy does not exist" if size is None else f"the copy has {size} bytes, not {copy.size_bytes}"
            raise Unreadable(f"{printable(what)}: the store reported success, but {state}", hint="drfsm resume")
        return copy

    async def _delete(self, key: str) -> str:
        import obstore

        if not self._plain(key):
            await asyncio.to_thread(self._slow.delete, key)
            return key
        what = f"deleting {self._uri(key)}"
        await self._asked(what, _done(obstore.delete_async(self._client, key)), absent=True)
        if await self._size(key) is not None:
            raise Unreadable(
                f"{printable(what)}: the store reported success, but the object still exists", hint="drfsm resume"
            )
        return key

    async def _size(self, key: str) -> int | None:
        """Return an object's size by a HEAD; None for a 404, which has no error code on a HEAD."""
        import obstore
        from obstore.exceptions import NotFoundError

        async def head() -> int | None:
            try:
                meta = await obstore.head_async(self._client, key)
            except (NotFoundError, FileNotFoundError):
                return None
            self._etag(key, meta)
            return int(meta["size"])

        return await self._asked(f"checking {self._uri(key)}", head(), absent=None)

    def _etag(self, key: str, meta: Mapping[str, Any]) -> str:
        """Return the ETag of an object's headers. Raises Unreadable for headers that are not an object's."""
        if not meta["e_tag"] or meta["last_modified"].timestamp() == 0:  # obstore's stand-in for none
            what = f"reading {printable(self._uri(key))}"
            raise Unreadable(f"{what}: the response lacks the headers of an object (ETag, Last-Modified)", hint=WAY)
        return str(meta["e_tag"])

    async def _asked(self, what: str, request: Awaitable[Answer], *, absent: Answer) -> Answer:
        """Await a request; raise the error for its failure, return ``absent`` if the object does not exist."""
        from obstore.exceptions import BaseError

        try:
            return await request
        except (BaseError, FileNotFoundError, PermissionError) as error:
            text = str(error)
        status, code, message = (
            match[1] if (match := pattern.search(text)) else "" for pattern in (_STATUS, _CODE, _MESSAGE)
        )
        if status == "404" and code == NO_OBJECT:
            return absent
        if status:
            raise self._meaning(what, int(status), code, message)
        if (fault := self._credentials.fault) is not None:
            raise meaning_of(what, fault)
        first = bounded(text.partition("\n")[0].removeprefix("Generic S3 error: "))
        if "redirect" in first:
            raise ActionFailed(f"{what}: {first}", hint="name the bucket's region with --region", fault="operator")
        raise Unreachable(
            f"{what}: {first}",
            hint="check the network, then try again (a run: `drfsm resume`)",
            fault="store",
        )

    def _whole(self, key: str, size: int, promised: int) -> None:
        if size != promised:
            raise Unreachable(f"reading {self._uri(key)}: {size} of {promised} bytes were received", fault="store")

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"


class _Credentials:
    """Gives boto3's credentials to obstore, and keeps the reason of a failure, which obstore does not report."""

    def __init__(self, session: Any) -> None:
        self.fault: Exception | None = None
        self._credentials = call("getting AWS credentials", session.get_credentials)
        if self._credentials is None:
            raise Unreachable(
                "no usable AWS credentials",
                fault="operator",
                hint="export AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then try again",
            )

    def __call__(self) -> Any:
        """Return the current credentials, renewed if necessary."""
        try:
            keys = self._credentials.get_frozen_credentials()
        except Exception as fault:
            self.fault = fault
            raise
        self.fault = None
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + timedelta(minutes=CREDENTIALS_MINUTES),
        }


def _never(_key: str) -> bool:
    return False


def _is_proxied(endpoint_url: str) -> bool:
    """Return whether the environment sends requests to this address through a proxy, as botocore reads it."""
    from botocore.utils import get_environ_proxies

    proxies = get_environ_proxies(endpoint_url)
    return bool(proxies.get(urlsplit(endpoint_url).scheme) or proxies.get("all"))


async def _done(request: Awaitable[object]) -> bool:
    await request
    return True


def _client(bucket: str, reach: Reach, credentials: _Credentials, silence_seconds: float) -> "Client":
    from obstore.store import S3Store as Client

    options: ClientConfig = {
        "allow_http": reach.endpoint_url.startswith("http://"),
        "proxy_url": NOWHERE,
        "proxy_excludes": (urlsplit(reach.endpoint_url).hostname or ""),
        "connect_timeout": "5s",
        "read_timeout": f"{silence_seconds:g}s",
        "timeout": "24h",  # of the whole: a large body may take its time
    }
    if reach.ca_bundle:
        options["root_certificate"] = Path(reach.ca_bundle).read_bytes()
    return Client(
        bucket,
        # Both: the environment's AWS_ENDPOINT_URL_S3 would win over ``endpoint``.
        endpoint=reach.endpoint_url,
        aws_endpoint_url_s3=reach.endpoint_url,
        region=reach.region,
        virtual_hosted_style_request=False,
        disable_bulk_delete=True,
        skip_signature=False,
        credential_provider=credentials,
        client_options=options,
        retry_config={
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=silence_seconds),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
        },
    )


def _all(
    questions: Sequence[Question], ask: Callable[[Question], Awaitable[Answer]], check: Check | None, waits_for: str
) -> Iterator[Answer]:
    """Yield a result for every request, in the order of completion. Raises the error of the first failed one.

    ``waits_for``: what a person is told while none comes.
    """
    if not questions:
        return
    answered = 0
    with closing(_Crew(questions, ask)) as crew:
        for answer in crew.answers(check or _unchecked, waits_for):
            answered += 1
            yield answer
    if answered != len(questions):
        raise ActionFailed(f"defect: {answered} answers to {len(questions)} questions", fault="drfsm")


def _unchecked() -> None:
    return


@frozen
class _End:
    fault: BaseException | None


class _Crew(Generic[Question, Answer]):
    """A thread with an event loop that runs up to IN_FLIGHT requests at once."""

    def __init__(self, questions: Sequence[Question], ask: Callable[[Question], Awaitable[Answer]]) -> None:
        self._questions, self._ask = questions, ask
        self._results: queue.SimpleQueue[Answer | _End] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._all = self._loop.create_task(self._work())
        self._thread = threading.Thread(target=self._run, name="drfsm-bulk", daemon=True)
        self._thread.start()

    def answers(self, check: Check, waits_for: str) -> Iterator[Answer]:
        """Yield results until all requests are done; raise the error that ended them early."""
        while True:
            with waiting_for(waits_for):
                answer = self._next(check)
            if not isinstance(answer, _End):
                yield answer
            elif answer.fault is None:
                return
            else:
                raise answer.fault

    def _next(self, check: Check) -> Answer | _End:
        """Wait for the next result; ``check`` is called several times a second meanwhile."""
        while True:
            check()
            try:
                return self._results.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue

    def close(self) -> None:
        """Cancel the requests under way, and wait until they have ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._all.cancel)
            self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        fault: BaseException | None = None
        try:
            try:
                self._loop.run_until_complete(self._all)
            finally:
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
        except asyncio.CancelledError as cancelled:
            fault = cancelled
        except BaseExceptionGroup as several:
            fault = several.exceptions[0]
        finally:
            self._results.put(_End(fault))

    async def _work(self) -> None:
        waiting = iter(self._questions)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(IN_FLIGHT, len(self._questions))):
                group.create_task(self._worker(waiting))

    async def _worker(self, waiting: Iterator[Question]) -> None:
        for question in waiting:
            while self._results.qsize() >= HELD:  # noqa: ASYNC110  it is emptied in another thread
                await asyncio.sleep(POLL_SECONDS / 10)
            self._results.put(await self._ask(question))
