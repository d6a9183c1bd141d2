"""Validation of an object's metadata: names, labels, annotations, owners, finalizers.

Pure functions; admission.py and specs.py call them. Grammars and messages are those of the real validation
(apimachinery's api/validation).
"""

import json
import re
from collections.abc import Iterator, Mapping

from drfsm.sandbox.kubernetes.refusals import Fault, Manifest, refused, unacceptable
from drfsm.sandbox.kubernetes.resources import Resource

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_WORD = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_WORD})?"
LABEL_MAX, NAME_MAX, CRONJOB_MAX, ANNOTATIONS_MAX = 63, 253, 52, 256 * 1024

_SUBDOMAIN_SAID = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_SAID = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_WORD_SAID = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_WORD}')"
)
_VALUE_SAID = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE}')"
)


def metadata_faults(kind: Resource, metadata: Manifest) -> Iterator[Fault]:
    """Yield the faults of an object's metadata."""
    yield from _name_faults(kind, metadata["name"])
    yield from label_faults("metadata.labels", metadata.get("labels") or {})
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from _key_faults("metadata.annotations", key.lower())
    if sum(len(key) + len(value or "") for key, value in annotations.items()) > ANNOTATIONS_MAX:
        yield "metadata.annotations", "FieldValueTooLong", f"Too long: may not be more than {ANNOTATIONS_MAX} bytes"
    yield from _owner_faults(metadata.get("ownerReferences") or [])
    for number, finalizer in enumerate(metadata.get("finalizers") or ()):
        yield from _key_faults(f"metadata.finalizers[{number}]", finalizer)


def _name_faults(kind: Resource, name: str) -> Iterator[Fault]:
    if kind.group.startswith("rbac."):  # any segment of a path will do: "system:node"
        if name in (".", "..") or "/" in name or "%" in name:
            yield unacceptable("metadata.name", name, "may not contain '/' or '%', nor be '.' or '..'")
        return
    label = kind.plural in ("namespaces", "services")
    grammar, said, most = (_LABEL, _LABEL_SAID, LABEL_MAX) if label else (_SUBDOMAIN, _SUBDOMAIN_SAID, NAME_MAX)
    if not re.fullmatch(grammar, name):
        yield unacceptable("metadata.name", name, said)
    if len(name) > most:
        yield unacceptable("metadata.name", name, f"must be no more than {most} characters")
    elif kind.plural == "cronjobs" and len(name) > CRONJOB_MAX:
        yield unacceptable("metadata.name", name, f"must be no more than {CRONJOB_MAX} characters")


def label_faults(path: str, labels: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the faults of labels: keys ``[prefix/]name``, values of at most 63 characters."""
    for key, value in labels.items():
        yield from _key_faults(path, key)
        if len(value) > LABEL_MAX:
            yield unacceptable(path, value, f"must be no more than {LABEL_MAX} bytes")
        if not re.fullmatch(_VALUE, value):
            yield unacceptable(path, value, _VALUE_SAID)


def _key_faults(path: str, key: str) -> Iterator[Fault]:
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        said = f"a qualified name must consist of a name and an optional DNS subdomain prefix: {_WORD_SAID}"
        yield unacceptable(path, key, said)
        return
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield unacceptable(path, key, f"prefix part {_SUBDOMAIN_SAID}")
    if not name:
        yield unacceptable(path, key, "name part must be non-empty")
    if not re.fullmatch(_WORD, name):
        yield unacceptable(path, key, _WORD_SAID)
    if len(name) > LABEL_MAX:
        yield unacceptable(path, key, f"name part must be no more than {LABEL_MAX} bytes")


def _owner_faults(owners: list[Manifest]) -> Iterator[Fault]:
    for number, owner in enumerate(owners):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                path = (
                    f"metadata.ownerReferences[{number}].{field}" if field != "uid" else "metadata.ownerReferences.uid"
                )
                yield path, "FieldValueInvalid", f'Invalid value: "": {field} must not be empty'
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        reason = "Only one reference can have Controller set to true"
        yield "metadata.ownerReferences", "FieldValueInvalid", f"Invalid value: {json.dumps(owners)}: {reason}"


def late_finalizers(new: Manifest, old: Manifest) -> Iterator[Fault]:
    """Yield the fault of finalizers that are added while the object is being deleted."""
    if "deletionTimestamp" not in old["metadata"]:
        return
    before = old["metadata"].get("finalizers") or ()
    if added := [finalizer for finalizer in new["metadata"].get("finalizers") or () if finalizer not in before]:
        reason = "no new finalizers can be added if the object is being deleted, found new finalizers"
        yield refused("metadata.finalizers", f"{reason} {json.dumps(added)}")
