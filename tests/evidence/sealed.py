"""A recorded bundle, sealed as a run seals it: at an earlier length as a hold did, and as it is now."""

import shutil
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from drfsm.adapters.file_journal import read_chain
from drfsm.adapters.signing import signer_of
from drfsm.evidence.sealing_keys import PublicKey, Signer, read_public_key
from drfsm.journal import fold
from drfsm.runs.seals import seal

RECORDED = Path(__file__).parents[1] / "data" / "bundles" / "0.5.0" / "failback"
LOG = "state_transitions.log"
EARLIER = 40  # records of the log when it was sealed first


def made_key(path: Path, kind: str = "ed25519") -> tuple[Signer, PublicKey]:
    """Write a private key and its public half, in PEM; return what signs and what checks."""
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(_CURVES[kind]())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    path.chmod(0o600)
    public = path.with_suffix(".pub")
    public.write_bytes(signer_of(str(path), {}).public.pem)
    return signer_of(str(path), {}), read_public_key(public)


_CURVES = {"ecdsa-p256": ec.SECP256R1, "ecdsa-p384": ec.SECP384R1}


def sealed_twice(place: Path, signer: Signer | None) -> Path:
    """Return a bundle that was sealed when it was shorter, without a key, and is sealed now."""
    shutil.copytree(RECORDED, place)
    place.chmod(0o700)
    lines = (place / LOG).read_bytes().splitlines(keepends=True)
    (place / LOG).write_bytes(b"".join(lines[:EARLIER]))
    assert seal(place, fold(read_chain(place).records), None)
    (place / LOG).write_bytes(b"".join(lines))
    assert seal(place, fold(read_chain(place).records), signer)
    return place
