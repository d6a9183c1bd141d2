"""The auditor's kit: a verifier in one file, which an archive may carry. drfsm runs none of it.

``verify_bundle.py`` was written from docs/log-format.md, with the standard library only; openssl checks signatures.
"""

from pathlib import Path

README = """\
The auditor's kit
=================

verify_bundle.py   checks the bundle beside it: python3 kit/verify_bundle.py bundle --schemas kit/schemas
                   with the signer's public key:       --key signer.pub   (get it from the signer, never from here)
schemas/           one JSON Schema for a record of the log, and one for each receipt

It needs Python 3.8 or later, nothing else; openssl for signatures. It is a second opinion: it was written without
drfsm's code. Whether what was observed justifies each decision needs drfsm: drfsm replay bundle

Whoever gives you this archive could have changed the kit, too. Compare verify_bundle.py with the one of the drfsm
release (python3 -c "import drfsm.evidence.kit as k; print(k.__file__)"), or read it: it is short.
"""


def verifier() -> bytes:
    """Return the source of the verifier."""
    return (Path(__file__).parent / "verify_bundle.py").read_bytes()
