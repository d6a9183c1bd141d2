"""Signatures by ssh keys: ``ssh-keygen -Y`` makes them and checks them against an allowed-signers file.

    DRFSM_SIGNING_KEY      the key that signs every mirrored record: a private key, or a public one whose agent signs
    DRFSM_ALLOWED_SIGNERS  the keys that are trusted, as ssh-keygen(1) describes under ALLOWED SIGNERS

OpenSSH handles formats, revocation, agents and hardware keys. The operator names both files, never a record. Implements
evidence.signatures.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from drfsm.claims import bounded
from drfsm.errors import UsageFault
from drfsm.evidence.approvals import Check, Signed, key_of

SIGNING_KEY, ALLOWED_SIGNERS = "DRFSM_SIGNING_KEY", "DRFSM_ALLOWED_SIGNERS"
SECONDS = 60.0  # a hardware key may wait for a touch
LARGEST_BYTES = 16 << 10  # bytes of a signature; one of ssh-keygen has about 300


@frozen
class SshVerifier:
    """Checks signatures against one allowed-signers file."""

    allowed_signers: Path

    def signer(self, namespace: str, message: bytes, signature: bytes) -> str | None:
        """Return the principal whose key signed this message for this namespace, None if no trusted key did."""
        if len(signature) > LARGEST_BYTES:
            return None
        with tempfile.TemporaryDirectory(prefix="drfsm-") as directory:  # 0700
            file = Path(directory) / "signature"
            file.write_bytes(signature)
            allowed = str(self.allowed_signers)
            named = _ssh_keygen("find-principals", "-s", str(file), "-f", allowed)
            for principal in named.stdout.decode("utf-8", "replace").splitlines() if named.returncode == 0 else ():
                checked = _ssh_keygen(
                    "verify", "-f", allowed, "-I", principal, "-n", namespace, "-s", str(file), message=message
                )
                if checked.returncode == 0:
                    return principal
        return None


@frozen
class SshSigner:
    """Signs with one key."""

    key: Path

    def sign(self, namespace: str, message: bytes) -> bytes:
        """Return an armoured signature. Raises UsageFault where ssh-keygen can't use the key."""
        signed = _ssh_keygen("sign", "-q", "-f", str(self.key), "-n", namespace, message=message)
        if signed.returncode != 0 or not signed.stdout:
            why = bounded(signed.stderr.decode("utf-8", "replace").strip())
            raise UsageFault(
                f"the key {self.key} can't sign: {why}",
                hint=f"check {SIGNING_KEY}; a key with a passphrase needs an agent (ssh-add)",
            )
        return signed.stdout


def checks_by(allowed_signers: str, at: str) -> Check:
    """Return what checks signatures against the text of an allowed-signers file, as of a time (ISO 8601, UTC).

    So that an audit judges as the start did: a key that has expired since then was allowed. It raises UsageFault where
    this machine can't check signatures at all.
    """
    digits = re.sub(r"\D", "", at)[:14]
    then = (f"-Overify-time={digits}",) if len(digits) == 14 else ()  # noqa: PLR2004  YYYYMMDDHHMMSS, in UTC

    def check(namespace: str, message: bytes, signature: bytes) -> Signed | None:
        if len(signature) > LARGEST_BYTES:
            return None
        with tempfile.TemporaryDirectory(prefix="drfsm-") as directory:  # 0700
            signed, allowed = Path(directory) / "signature", Path(directory) / "allowed"
            signed.write_bytes(signature)
            allowed.write_text(allowed_signers, encoding="utf-8", errors="replace")
            fits = _ssh_keygen("check-novalidate", "-n", namespace, "-s", str(signed), message=message)
            if fits.returncode != 0:
                return None
            named = _ssh_keygen("find-principals", *then, "-s", str(signed), "-f", str(allowed))
            for principal in named.stdout.decode("utf-8", "replace").splitlines() if named.returncode == 0 else ():
                who = ("-f", str(allowed), "-I", principal, "-n", namespace, "-s", str(signed))
                if _ssh_keygen("verify", *then, *who, message=message).returncode == 0:
                    return Signed(principal, key_of(signature))
        return Signed("", key_of(signature))

    return check


def can_check() -> bool:
    """Return whether this machine has what checks signatures."""
    return shutil.which("ssh-keygen") is not None


def allowed_signers_of(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of the keys that are trusted, None where none is named. Raises UsageFault for a missing file."""
    return _named(ALLOWED_SIGNERS, environ)


def verifier_of(environ: Mapping[str, str] = os.environ) -> SshVerifier | None:
    """Return the verifier, None where no keys are trusted. Raises UsageFault for a missing file."""
    return SshVerifier(path) if (path := _named(ALLOWED_SIGNERS, environ)) else None


def signer_of(environ: Mapping[str, str] = os.environ) -> SshSigner | None:
    """Return the signer, None where no key is named. Raises UsageFault for a missing file."""
    return SshSigner(path) if (path := _named(SIGNING_KEY, environ)) else None


def _named(variable: str, environ: Mapping[str, str]) -> Path | None:
    if not (named := environ.get(variable)):
        return None
    if not (path := Path(named).absolute()).is_file():
        raise UsageFault(
            f"{variable} names a file that does not exist: {path}", hint=f"name an existing file, or: unset {variable}"
        )
    return path


def _ssh_keygen(*arguments: str, message: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise UsageFault(
            "ssh-keygen, which makes and checks signatures, is not on the PATH", hint="install OpenSSH 8.2+"
        )
    try:
        return subprocess.run(
            [program, "-Y", *arguments], input=message, capture_output=True, check=False, timeout=SECONDS,
            env={**os.environ, "TZ": "UTC"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise UsageFault(f"ssh-keygen did not answer: {type(fault).__name__}", hint="try again") from None
