"""The sandbox's AWS: moto's server on loopback, with S3, STS, IAM, EC2, SSM, ECR, CloudWatch and Route 53.

It owns the server and makes clients with dummy credentials; seed.py fills it. lifecycle.py and tests call it. Facts
about moto:

- Its state belongs to the process, not to the server. So each Cloud of a process is an account of its own: its
  server says so to moto with every request, whichever key that is made with. Only bucket names are everybody's,
  as in the cloud. The first Cloud of a process starts empty.
- It checks no signature; any key will do. A key that IAM made (``create_identity``) has its user's ARN.
- It applies a bucket policy's Deny to everybody; policies.py makes it look at who asks.
- Every command that SSM is to run succeeds and prints nothing; remote_commands.py runs it. ECR's token is always the
  same and expired; ecr_tokens.py gives real ones. It doesn't tell the history of an alarm; alarm_history.py does.
- Its Route 53 makes half of a batch and deletes what was not asked for; route53.py makes it strict.
- It gives each account hundreds of machine images, each with a snapshot and a volume: a third of the time that a
  sandbox needs to start. Here an account has one, ``MACHINE_IMAGE``.
- It makes sessions of botocore, each of which reads EC2's description anew: ``share_descriptions``.
"""

import logging
import socket
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, NamedTuple, Self

REGION = "us-east-1"
FIRST_ACCOUNT = 123456789012
MACHINE_IMAGE = "ami-03cf127a"  # one of those that moto knows from the start
ACCESS_KEY_ID = "sandbox-access-key"
SECRET_ACCESS_KEY = "sandbox-operator-secret"  # noqa: S105  moto takes any secret


class Identity(NamedTuple):
    """A user of moto's IAM, with an access key."""

    arn: str
    access_key_id: str
    secret_access_key: str


class Cloud:
    """One moto server on loopback. Usable as a context manager."""

    _alive = 0  # servers of this process
    _accounts = count(FIRST_ACCOUNT)
    _lock = threading.Lock()

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._server: Any = None
        self._clients: dict[tuple[str, str], Any] = {}
        self.endpoint, self.account = "", ""

    def start(self) -> None:
        """Serve on the given port, or on a free one."""
        share_descriptions()  # BEFORE moto is imported: it makes its first sessions then

        from moto.server import ThreadedMotoServer

        from drfsm.sandbox import alarm_history, ecr_tokens, policies, remote_commands, route53

        for part in (policies, remote_commands, ecr_tokens, alarm_history, route53):
            part.install()
        keep_one_machine_image()
        # One line per request would bury whatever else the process has to say.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()
        with Cloud._lock:
            self.account = str(next(Cloud._accounts))
        http: Any = self._server._server  # noqa: SLF001  moto's wrapper hides the server that it runs
        http.app = _application(self.account)
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        with Cloud._lock:
            Cloud._alive += 1
            if Cloud._alive == 1:
                self._reset()

    def stop(self) -> None:
        """Stop serving. Clients of this Cloud can't be used afterwards."""
        if self._server is None:
            return
        ending = threading.Thread(target=self._server.stop)
        ending.start()
        while ending.is_alive():
            # The server looks up twice a second, or when somebody knocks: every test waits for this.
            with suppress(OSError):
                socket.create_connection(self._server.get_host_and_port(), timeout=1).close()
            ending.join(0.01)
        self._server = None
        with Cloud._lock:
            Cloud._alive -= 1

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def client(self, service: str, identity: Identity | None = None) -> Any:
        """Return a boto3 client of this Cloud, as the sandbox's operator or as somebody else."""
        key = identity.access_key_id if identity else ACCESS_KEY_ID
        secret = identity.secret_access_key if identity else SECRET_ACCESS_KEY
        with Cloud._lock:  # making clients is not thread-safe; using them is
            if (service, key) not in self._clients:
                self._clients[service, key] = client_at(self.endpoint, service, key, secret)
            return self._clients[service, key]

    def instances(self) -> list[Any]:
        """Return EC2's instances as moto holds them, without a request: watchers look several times a second."""
        from moto.ec2.models import ec2_backends

        return list(ec2_backends[self.account][REGION].all_instances())

    def create_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        self.client("s3").create_bucket(Bucket=name)

    def create_identity(self, user: str) -> Identity:
        """Make an IAM user with an access key."""
        iam = self.client("iam")
        arn = iam.create_user(UserName=user)["User"]["Arn"]
        key = iam.create_access_key(UserName=user)["AccessKey"]
        return Identity(arn, key["AccessKeyId"], key["SecretAccessKey"])

    def _reset(self) -> None:
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")  # noqa: S310  loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
            answer.read()


def _application(account: str) -> Callable[..., Any]:
    """Return moto's application, with every request attributed to one account."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    class Application(DomainDispatcherApplication):
        # Which backend serves a host, moto finds out for each request anew, by listing its own directory.
        get_backend_for_host = lru_cache(DomainDispatcherApplication.get_backend_for_host)

        def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            return super().__call__({**environ, "HTTP_X_MOTO_ACCOUNT_ID": account}, start_response)

    return Application(create_backend_app)


def keep_one_machine_image() -> None:
    """Let moto give a new account ``MACHINE_IMAGE`` and no other image. Doing it again changes nothing."""
    from moto.ec2.models.amis import AMIS, Ami, AmiBackend

    (image,) = (image for image in AMIS if image["ami_id"] == MACHINE_IMAGE)
    fields = {**image, "owner_alias": "amazon", "creation_date": None}  # made when it is asked for

    def load(backend: Any) -> None:
        backend.amis[MACHINE_IMAGE] = Ami(backend, **fields)

    images: Any = AmiBackend
    images._load_amis = load  # noqa: SLF001  moto has a switch for all images or none


@cache
def share_descriptions() -> None:
    """Let the sessions of this process share what they read of EC2, which takes 0.25 s each time.

    Of EC2 only: botocore changes what it read of S3 (it takes the bucket out of paths), and moto wants it as it was.
    """
    from botocore.loaders import JSONFileLoader, Loader

    files, once = JSONFileLoader(), cache(JSONFileLoader().load_file)

    def load_file(path: str) -> Any:
        return once(path) if Path(path).parent.parent.name == "ec2" else files.load_file(path)

    shared = SimpleNamespace(exists=files.exists, load_file=load_file)
    Loader.FILE_LOADER_CLASS = staticmethod(lambda: shared)


def client_at(endpoint: str, service: str, key: str = ACCESS_KEY_ID, secret: str = SECRET_ACCESS_KEY) -> Any:
    """Return a boto3 client of the Cloud at an endpoint, perhaps another process's. Not for two threads at once."""
    return _session().client(
        service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id=key, aws_secret_access_key=secret
    )


@cache
def _session() -> Any:
    """Return the process's one session; every further one would read the services' descriptions again."""
    import boto3
    import botocore.session

    from drfsm.adapters.aws_session import parsed_time

    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parsed_time)
    return boto3.session.Session(botocore_session=core)
