"""How a command seals bundles: what the options, the environment and drfsm.toml say. Loads no key and no cloud."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from drfsm.evidence.sealing_keys import Signer


@frozen
class Sealing:
    """How seals are made: with which key, and how long checkpoints can't be deleted. Empty: unsigned, no retention."""

    sign_key: str = ""  # as signing.py reads it
    retain: timedelta | None = None
    places: Mapping[str, str] = field(factory=dict)  # endpoint_url, region: of the key service

    def signer(self) -> "Signer | None":
        """Return what signs; None where no key is named. Raises UsageFault for a key that can't be used."""
        if not self.sign_key:
            return None
        from drfsm.adapters.signing import signer_of

        return signer_of(self.sign_key, self.places)
