"""What signs seals: a key file, an ssh key or its agent, a key of a key service. Implements sealing_keys.Signer.

    --sign-key /etc/drfsm/seal.pem           Ed25519 or ECDSA, in PEM or as ssh-keygen writes it, without a passphrase
    --sign-key ~/.ssh/id_ed25519.pub         a public key: the agent of $SSH_AUTH_SOCK signs, also with a passphrase
    --sign-key awskms:alias/drfsm-seal       a key of AWS KMS (or the ARN of one); it never leaves the service

DRFSM_SIGN_KEY and evidence.sign_key of drfsm.toml name it, too. A private key is read when something is signed, kept in
memory for that long, and is in no message.
"""

import os
import socket
import stat
import struct
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, printable
from drfsm.errors import Unreachable, UsageFault
from drfsm.evidence.sealing_keys import (
    ED25519,
    KINDS,
    LARGEST_KEY_BYTES,
    PublicKey,
    Signer,
    algorithm,
    parsed_public_key,
    public_key,
)
from drfsm.files import given_file

VARIABLE = "DRFSM_SIGN_KEY"
AGENT = "SSH_AUTH_SOCK"
_KMS = ("awskms:", "arn:aws")
_SECONDS = 60.0  # a hardware key may wait for a touch
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14  # of the agent's protocol
_LARGEST_ANSWER = 64 << 10


def signer_of(named: str, places: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Signer:
    """Return what signs with the key that an operator named. ``places``: endpoint_url, region of the key service.

    Raises UsageFault for a key that can't be used. A key service is not asked yet.
    """
    if named.startswith(_KMS):
        from drfsm.adapters.aws_signing import kms_signer

        return kms_signer(named.removeprefix("awskms:").lstrip("/"), places)
    path = Path(named).expanduser()
    raw = given_file(path, "the key that signs", LARGEST_KEY_BYTES)
    if b"PRIVATE KEY" not in raw:
        return AgentSigner(parsed_public_key(named, raw), environ.get(AGENT, ""))
    _check_private(path)
    return FileSigner(_loaded(named, raw), named)


def _check_private(path: Path) -> None:
    """Raise UsageFault for a private key that others may read."""
    mode = path.stat().st_mode
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IXGRP & ~stat.S_IXOTH:
        raise UsageFault(
            f"others may read or write the private key {printable(path)} (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {printable(path)}; if somebody else had it meanwhile, make a new one",
        )


def _loaded(named: str, raw: bytes) -> Any:
    """Return a private key. Raises UsageFault; the message holds nothing of the file."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    load = serialization.load_pem_private_key
    if b"OPENSSH PRIVATE KEY" in raw:
        load = serialization.load_ssh_private_key
    try:
        return load(raw, password=None)
    except TypeError:
        why = "it has a passphrase"
    except (ValueError, UnsupportedAlgorithm) as fault:
        locked = "password" in str(fault).lower()
        why = "it has a passphrase" if locked else "it is damaged, or of another kind"
    raise UsageFault(
        f"the private key {printable(named)} can't be used: {why}",
        hint=f"use {KINDS}; a key with a passphrase signs by its agent: ssh-add, then name its .pub file",
    )


@frozen
class FileSigner:
    """Signs with a private key in a file."""

    _key: Any
    _name: str

    @property
    def public(self) -> PublicKey:
        """The public key. Raises UsageFault for a key of another kind."""
        return public_key(self._name, self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Return the signature. Raises UsageFault for a key of another kind."""
        kind = self.public.kind
        return bytes(self._key.sign(message) if kind == ED25519 else self._key.sign(message, algorithm(kind)))


class AgentSigner:
    """Lets an ssh agent sign: the private key may be locked, or in hardware."""

    def __init__(self, public: PublicKey, agent: str) -> None:
        """``agent``: the path of its socket, "" where there is none."""
        self._public, self._agent = public, agent

    @property
    def public(self) -> PublicKey:
        """The public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return the signature. Raises UsageFault where no agent has the key, Unreachable where none answers."""
        if not self._agent:
            raise UsageFault(
                f"{self._public.name} is a public key, and no agent is there to sign with it (${AGENT} is not set)",
                hint="start one (eval $(ssh-agent)) and add the key (ssh-add); or name the private key's file",
            )
        request = bytes([_SIGN_REQUEST]) + _string(_ssh_blob(self._public)) + _string(message) + struct.pack(">I", 0)
        answer = self._asked(request)
        if answer[:1] != bytes([_SIGN_RESPONSE]):
            raise UsageFault(
                f"the ssh agent does not sign with {self._public.name}: it lacks the key, or may not use it",
                hint="ssh-add -l lists its keys; ssh-add adds one",
            )
        try:
            return self._signature(answer[1:])
        except (struct.error, IndexError, ValueError):
            raise Unreachable(f"the ssh agent gave no signature for {self._public.name}", fault="operator") from None

    def _signature(self, answer: bytes) -> bytes:
        """Return the signature in an answer as `cryptography` has it."""
        signature, _ = _taken(answer)
        _kind, rest = _taken(signature)
        body, _ = _taken(rest)
        if self._public.kind == ED25519:
            return body
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        r, rest = _taken(body)
        s, _ = _taken(rest)
        return bytes(encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")))

    def _asked(self, request: bytes) -> bytes:
        """Return the agent's answer. Raises Unreachable."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
                agent.settimeout(_SECONDS)
                agent.connect(self._agent)
                agent.sendall(_string(request))
                (size,) = struct.unpack(">I", _received(agent, 4))
                return _received(agent, min(size, _LARGEST_ANSWER))
        except (OSError, ValueError, struct.error) as fault:
            raise Unreachable(
                f"the ssh agent at {printable(self._agent)} did not answer: {bounded(fault)}",
                hint=f"check ${AGENT}: ssh-add -l",
                fault="operator",
            ) from None


def _ssh_blob(public: PublicKey) -> bytes:
    """Return a public key as agents name it."""
    from cryptography.hazmat.primitives import serialization

    line = public.key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return b64decode(line.split()[1])


def _received(agent: socket.socket, size: int) -> bytes:
    body = b""
    while len(body) < size:
        piece = agent.recv(size - len(body))
        if not piece:
            raise ValueError("it hung up")
        body += piece
    return body


def _string(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def _taken(raw: bytes) -> tuple[bytes, bytes]:
    """Return the first string of a message, and the rest."""
    (size,) = struct.unpack(">I", raw[:4])
    if size > len(raw) - 4:
        raise ValueError("it is cut off")
    return raw[4 : 4 + size], raw[4 + size :]
