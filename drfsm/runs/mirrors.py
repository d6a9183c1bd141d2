"""A run's mirror in S3, read and never adopted: its lines, its declaration, its state.

    s3://<bucket>/<prefix>/drfsm/runs/<run>    as a person types it; every part is checked against its grammar

A mirror is a claim: its run, bucket and prefix must be those of the address, and its declaration the one that its
records name. Executes nothing, writes nothing. Used by `status`, `replay` and `list`, and by run_context.py and
fetching.py before a run continues from it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from attrs import frozen

from drfsm.claims import LARGEST_BYTES, bounded, is_name
from drfsm.errors import DrfsmError, EvidenceFault, UsageFault
from drfsm.evidence.signatures import APPROVAL, RECORD, SEAL
from drfsm.journal import Record, RunState, digest, read
from drfsm.journal.mirror import ADDRESS, home_of, key_of, parts_of, signature_of
from drfsm.resources import known, shipped
from drfsm.runs import trust
from drfsm.spec import MachineSpec

if TYPE_CHECKING:
    from drfsm.world import ObjectStore

LARGEST_SIGNATURE_BYTES = 16 << 10


@frozen
class Mirror:
    """The mirror of one run in S3: its raw lines, with their chain verified."""

    uri: str
    prefix: str
    run_id: str
    store: "ObjectStore"
    lines: tuple[bytes, ...]

    @property
    def home(self) -> str:
        """The prefix below which all its objects are."""
        return home_of(self.prefix, self.run_id)

    @property
    def records(self) -> tuple[Record, ...]:
        """Its records."""
        return read(self.lines).records

    @property
    def head(self) -> str:
        """The SHA-256 of its last line."""
        return digest(self.lines[-1])

    def journal(self, spec: MachineSpec) -> trust.Journal:
        """Return it as a journal that somebody may vouch for."""
        return journal_of(self.lines, spec, self.uri, self.store, self.home)


def is_mirror(named: str | None) -> TypeGuard[str]:
    """Whether what a person named is a mirror's address."""
    return named is not None and named.startswith("s3://")


def open_mirror(uri: str, places: Mapping[str, str]) -> Mirror:
    """Read a mirror. Raises UsageFault if there is none; JournalDamaged, EvidenceFault if it does not hold."""
    bucket, prefix, run_id = parts_of(uri)
    mirror = mirror_at(store_of(bucket, places), prefix, run_id)
    if not mirror.lines:
        hint = f"if it was started just now, try again in a moment; else name {ADDRESS}"
        raise UsageFault(f"{uri} holds no run", hint=hint)
    check_began(mirror)
    return mirror


def check_began(mirror: Mirror) -> None:
    """Raise LeaseHeld, naming the other run, for a run whose start another run revoked: it has no records to read."""
    from drfsm.adapters.lease_holders import revocation, revoked_fault

    if revoked := revocation(mirror.lines[0]):
        raise revoked_fault(revoked, mirror.uri)


def mirror_at(store: "ObjectStore", prefix: str, run_id: str) -> Mirror:
    """Read the mirror of a run below a prefix; it has no lines if there is none."""
    from drfsm.adapters.s3_journal import fetch

    home = home_of(prefix, run_id)
    return Mirror(f"s3://{store.bucket}/{home}", prefix, run_id, store, fetch(store, home))


def below(uri: str, places: Mapping[str, str]) -> tuple["ObjectStore", str]:
    """Return the store and the prefix of ``s3://<bucket>/<prefix>``. Raises UsageFault for another address."""
    bucket, _, prefix = uri.removeprefix("s3://").strip("/").partition("/")
    prefix = prefix.removesuffix("/drfsm/runs").removesuffix("/drfsm")
    if not (is_name("bucket", bucket) and is_name("prefix", prefix)):
        raise UsageFault(f"{bounded(uri)} names no part of a bucket", hint="s3://<bucket>/<prefix>")
    return store_of(bucket, places), prefix


def names_below(uri: str, places: Mapping[str, str]) -> Sequence[str]:
    """Return the ids of all runs that are mirrored below ``s3://<bucket>/<prefix>``, however many keys there are."""
    store, prefix = below(uri, places)
    home = home_of(prefix, "")
    names = {stat.key.removeprefix(home).partition("/")[0] for stat in store.list(home)}
    return sorted(filter(is_run, names))


def is_run(name: str) -> bool:
    """Whether a name below a mirror's prefix can be that of a run."""
    return is_name("drfsm run", name)


def address(bucket: str, prefix: str) -> str:
    """Return ``s3://<bucket>/<prefix>``; without a prefix that of the workload whose contract drfsm ships."""
    if not prefix:
        from drfsm.dr import workload

        prefix = workload.shipped().defaults.prefix
    return f"s3://{bucket}/{prefix.strip('/')}"


def store_of(bucket: str, places: Mapping[str, str]) -> "ObjectStore":
    """Return a bucket's store, by places (``endpoint_url``, ``region``) or else by what the environment says."""
    from drfsm.adapters import aws

    endpoint_url, region = places.get("endpoint_url") or None, places.get("region") or trust.region_here() or None
    store: ObjectStore = aws.connect(bucket=bucket, endpoint_url=endpoint_url, region=region).store
    return store


def has_mirror(options: Mapping[str, Any], run_id: str) -> bool:
    """Return whether a run has records in S3, whoever started it. ``options``: bucket, prefix, endpoint_url, region."""
    first = key_of(home_of(options["prefix"], run_id), 0)
    return store_of(options["bucket"], options).stat(first) is not None


def own_prefix(inputs: Mapping[str, Any]) -> str:
    """Return the prefix that a run's journal and lease lie below: its own, where it has one."""
    return str(inputs.get("journal_prefix") or inputs.get("prefix") or "").strip("/")


def state_of(mirror: Mirror) -> RunState:
    """Return the state of a mirrored run. Raises EvidenceFault for inconsistent records, another run's, or none."""
    if not mirror.lines:
        raise EvidenceFault(f"{mirror.uri} holds no record", hint="find out who wrote there, and what")
    state = trust.sound(mirror.records)
    if mirror.records[0].kind != "start_revoked":  # which says no place
        _check_place(mirror, state)
    return state


def _check_place(mirror: Mirror, state: RunState) -> None:
    """Raise EvidenceFault for records of another run, bucket or prefix than the mirror's."""
    recorded = {"run": state.run_id, "bucket": str(state.inputs.get("bucket", "")), "prefix": own_prefix(state.inputs)}
    expected = {"run": mirror.run_id, "bucket": mirror.store.bucket, "prefix": mirror.prefix}
    for what, name in expected.items():
        if recorded[what] != name:
            raise EvidenceFault(
                f"{mirror.uri} holds records of the {what} {bounded(recorded[what], 100)}, not of {name}",
                hint="find out who wrote them; nothing was taken over",
            )
    if not is_name("machine", state.machine):
        raise EvidenceFault(
            f"{mirror.uri}: {bounded(state.machine, 100)} is no name of a machine",
            hint="find out who wrote the records; nothing was taken over",
        )


def declaration_of(mirror: Mirror, state: RunState) -> bytes:
    """Return the declaration that a run is pinned to: drfsm's own where it is shipped, else the mirror's.

    Raises EvidenceFault where the mirror has none with the digest that the records name.
    """
    own = shipped("machines") / f"{state.machine}.yaml"
    if known(state.machine_sha256) and own.is_file() and trust.sha256_of(own.read_bytes()) == state.machine_sha256:
        return own.read_bytes()
    blob = mirror.store.get(f"{mirror.home}/{state.machine}.yaml", largest_bytes=LARGEST_BYTES)
    if blob is None or trust.sha256_of(blob.body) != state.machine_sha256:
        what = "lacks the declaration" if blob is None else "has another declaration than the records name:"
        raise EvidenceFault(f"{mirror.uri} {what} {state.machine}.yaml", hint="restore it from a copy of the bundle")
    return blob.body


def signed_at(store: "ObjectStore", journal: Mapping[str, Any]) -> bool:
    """Return whether a trusted key signed the record that a receipt's ``journal`` (uri, records, head) ends with."""
    from drfsm.adapters.ssh_signatures import verifier_of

    verifier = verifier_of()
    if verifier is None:
        return False
    bucket, prefix, run_id = parts_of(str(journal["uri"]))
    home, head = home_of(prefix, run_id), str(journal["head"])
    line = store.get(key_of(home, int(journal["records"]) - 1), largest_bytes=LARGEST_BYTES)
    signature = store.get(signature_of(home, head), largest_bytes=LARGEST_SIGNATURE_BYTES)
    if bucket != store.bucket or line is None or signature is None or digest(line.body) != head:
        return False
    names = (RECORD, APPROVAL, SEAL)
    return any(verifier.signer(namespace, line.body, signature.body) for namespace in names)


def journal_of(lines: Sequence[bytes], spec: MachineSpec, uri: str, store: "ObjectStore", home: str) -> trust.Journal:
    """Return lines as a journal that somebody may vouch for; their signatures are in the mirror."""
    from drfsm.adapters.ssh_signatures import verifier_of

    def signature(head: str) -> bytes | None:
        try:
            blob = store.get(signature_of(home, head), largest_bytes=LARGEST_SIGNATURE_BYTES)
        except DrfsmError:
            return None  # without an answer nobody vouches
        return blob.body if blob else None

    return trust.Journal(lines, spec, uri, signature, verifier_of)
