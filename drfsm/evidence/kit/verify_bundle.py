#!/usr/bin/env python3
"""Check a drfsm bundle without drfsm: chain, records, rows, summary, seals, signatures. Standard library only.

    python3 verify_bundle.py BUNDLE [--schemas DIRECTORY] [--key signer.pub]

Prints a line for each finding, then the verdict. Exits with 0 if the evidence holds, with 1 if it does not, with 2 if
something could not be looked at. What it does not do: judge whether an observation justifies a decision.
"""

import argparse
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LOG = "state_transitions.log"
NOT_SEALED = ("progress.log", "notices.log", "traces.sent")
PAYLOAD_TYPE = "application/vnd.in-toto+json"
SEAL_NAME = re.compile(r"([0-9]{4,6})\.(dsse|statement)\.json")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
ROW = re.compile(r"(\w+) --(\w+)--> (\w+)")
NO_RECORD = {"kind": "", "body": {}}


class Findings(list):
    """What does not hold, in words; ``remarks`` is what a reader should know."""

    def __init__(self):
        super().__init__()
        self.remarks = []

    def add(self, line, what):
        """Remember a finding. ``line`` counts from 1, 0: the bundle as a whole."""
        self.append(f"line {line}: {what}" if line else what)


# --- JSON, read strictly ------------------------------------------------------------------------------------


def _pairs(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def _no_constant(word):
    raise ValueError(f"{word} is no number")


def strict(raw):
    """Return a JSON value. Raises ValueError for a key that stands twice, NaN, or bytes that are not UTF-8."""
    return json.loads(raw.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant)


# --- the log ------------------------------------------------------------------------------------------------


def read_log(path, findings):
    """Return (records, the SHA-256 of each line, the size after each line) as far as the chain holds."""
    records, heads, sizes = [], [], []
    head, size = "0" * 64, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                findings.remarks.append(f"line {number} is torn: its writer died in the middle of it")
                break
            fault = _line_fault(line, head, len(records))
            if fault:
                findings.add(number, fault)
                break
            head, size = hashlib.sha256(line).hexdigest(), size + len(line)
            records.append(strict(line))
            heads.append(head)
            sizes.append(size)
    if not records:
        findings.add(0, "the log holds no record")
    return records, heads, sizes


def _line_fault(line, head, seq):
    if not line.startswith(b'{"prev":"'):
        return 'does not begin with {"prev":"'
    try:
        record = strict(line)
    except (ValueError, RecursionError) as fault:
        return f"is no JSON record ({fault})"
    if not isinstance(record, dict) or list(record) != ["prev", "seq", "at", "kind", "body"]:
        return "does not have exactly prev, seq, at, kind, body"
    if record["prev"] != head:
        return "does not follow the line before it: one of the two was altered, removed or inserted"
    if type(record["seq"]) is not int or record["seq"] != seq:
        return f"has the number {record['seq']!r} where {seq} is due"
    if not isinstance(record["body"], dict) or not isinstance(record["kind"], str):
        return "has a body that is no object, or a kind that is no text"
    return "" if isinstance(record["at"], str) and TIME.fullmatch(record["at"]) else "has no UTC time"


def check_course(records, findings):
    """Check what needs no declaration: the state goes on, intents are settled, the end is sealed; return the state."""
    state, intent, ended, sealed, started = "", None, False, False, False
    epoch = 0
    for number, record in enumerate(records, start=1):
        kind, body = record["kind"], record["body"]
        if (kind in ("run_started", "start_revoked")) != (number == 1):
            findings.add(number, f"a {kind} record stands there")
        if sealed or (ended and kind not in ("seal", "tail_cut")):
            findings.add(number, f"a {kind} record stands after the end")
        if kind == "run_started":
            state, started = body.get("state"), True
        elif kind == "lease_acquired":
            if body.get("epoch", 0) <= epoch:
                findings.add(number, "its epoch does not rise: two processes worked at once")
            epoch = body.get("epoch", 0)
        elif kind in ("intent", "commit"):
            intent = _check_row(number, kind, body, state, intent, findings)
            state = body.get("to") if kind == "commit" else state
        elif kind == "failed":
            if intent is not None and intent != body.get("row"):
                findings.add(number, "another row failed than the one that is open")
            intent = None if body.get("verdict") == "not_done" else intent
        elif kind == "resolved" and body.get("outcome") == "not_done":
            intent = None
        elif kind in ("held", "resumed", "sampled", "rejected", "ended") and body.get("state") != state:
            findings.add(number, f"it says the state {body.get('state')}, the run stands in {state}")
        ended = ended or kind == "ended"
        if kind == "seal":
            sealed = True
            _check_seal_record(number, body, records, findings, ended=ended)
    if started and not sealed:
        findings.remarks.append("the run has not ended, or its end is missing: only a seal or a witness can tell")
    return state


def _check_row(number, kind, body, state, intent, findings):
    """Check one intent or commit against where the run stands; return the intent that is open then."""
    row = body.get("row")
    if body.get("from") != state:
        findings.add(number, f"it goes on from {body.get('from')}, the run stands in {state}")
    if ROW.fullmatch(str(row)) is None or ROW.fullmatch(row).groups() != tuple(
        body.get(key) for key in ("from", "trigger", "to")
    ):
        findings.add(number, "its row is not its from, trigger and to")
    if kind == "intent":
        if intent not in (None, row):
            findings.add(number, f"it begins while {intent} is open")
        return row
    if body.get("how") in ("acted", "found", "resolved") and intent != row:
        findings.add(number, "it commits an action that has no open intent")
    if body.get("how") == "judged" and intent is not None:
        findings.add(number, f"a row is taken while {intent} is open")
    if any(check.get("holds") is not True for check in body.get("guards", ()) if isinstance(check, dict)):
        findings.add(number, "it was taken although a guard did not hold")
    return None


def _check_seal_record(number, body, records, findings, *, ended):
    before = [record for record in records[: number - 1] if record["kind"] != "tail_cut"]
    if not ended:
        findings.add(number, "the log is sealed before the run has ended")
    if body.get("records") not in (number - 1, len(before)):
        findings.add(number, f"it counts {body.get('records')} records, there are {number - 1}")
    if body.get("records") == number - 1 and body.get("head") != records[number - 1]["prev"]:
        findings.add(number, "it names another head than the line before it has")


# --- the declaration ----------------------------------------------------------------------------------------


def check_declaration(bundle, records, findings):
    """Check the pinned declaration's bytes, and that every row that was taken is one of it."""
    body = records[0]["body"]
    path = bundle / f"{body.get('machine')}.yaml"
    if not path.is_file():
        findings.add(0, f"the declaration {path.name} is missing")
        return
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != body.get("machine_sha256"):
        findings.add(1, f"{path.name} is not the declaration that the run is pinned to")
        return
    rows = declared_rows(raw.decode("utf-8"))
    for number, record in enumerate(records, start=1):
        if record["kind"] in ("intent", "commit"):
            source, trigger, to = (record["body"].get(key) for key in ("from", "trigger", "to"))
            if not any(source in sources and (trigger, to) == row for sources, row in rows):
                findings.add(number, f"the declaration has no row {source} --{trigger}--> {to}")


def declared_rows(text):
    """Return (the states that it begins in, (trigger, the state that it leads to)) of every row of a declaration.

    This is no reader of YAML: it knows how declarations are written, an item with two spaces and a dash.
    """
    rows = []
    _, _, block = text.partition("\ngroups:\n")
    block = re.split(r"\n\S", block)[0]
    groups = {name: re.findall(r"\w+", states) for name, states in re.findall(r"  (\w+): *\[(.*?)\]", block, re.DOTALL)}
    _, _, table = text.partition("\ntransitions:")
    for item in re.split(r"\n  - ", table)[1:]:
        lines = [line for line in item.split("\n") if not line.lstrip().startswith("#")]
        words = "\n".join(lines)
        trigger, to = re.search(r"\btrigger: *(\w+)", words), re.search(r"\bto: *(\w+)", words)
        source = re.search(r"\bfrom: *(.*?)(?=\n    \w+:|, *trigger:)", words, re.DOTALL)
        if trigger and to and source:
            names = set(re.findall(r"\w+", source[1]))
            members = (groups[name] for name in names if name in groups)
            rows.append((names.union(*members), (trigger[1], to[1])))
    return rows


# --- schemas ------------------------------------------------------------------------------------------------

TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": (int, float),
    "integer": int,
}  # fmt: skip


def misfit(value, schema, root):
    """Return where a value does not fit a schema, "" if it fits: draft 2020-12, as far as drfsm's schemas use it."""
    if schema is True or schema == {}:
        return ""
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].lstrip("#/").split("/"):
            target = target[part]
        fault = misfit(value, target, root)
        if fault:
            return fault
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"is not {' or '.join(kinds)}"
    if "const" in schema and value != schema["const"]:
        return f"is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"is none of {', '.join(map(str, schema['enum']))}"
    if "anyOf" in schema and all(misfit(value, each, root) for each in schema["anyOf"]):
        return "fits none of its forms"
    for each in schema.get("allOf", ()):
        if "if" in each and misfit(value, each["if"], root):
            continue
        fault = misfit(value, each.get("then", each), root)
        if fault:
            return fault
    return _inner_misfit(value, schema, root)


def _is(value, kind):
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[kind])


def _inner_misfit(value, schema, root):
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"does not have the form {schema['pattern']}"
        return "is too short" if len(value) < schema.get("minLength", 0) else ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "is too small" if value < schema.get("minimum", value) else ""
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            return "has too few items"
        faults = (misfit(each, schema.get("items", {}), root) for each in value)
        return next((f"[{at}] {fault}" for at, fault in enumerate(faults) if fault), "")
    if isinstance(value, dict):
        return _member_misfit(value, schema, root)
    return ""


def _member_misfit(value, schema, root):
    lacking = [name for name in schema.get("required", ()) if name not in value]
    if lacking:
        return f"lacks {lacking[0]}"
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name, each in value.items():
        if name not in known and others is False:
            return f"has the undeclared key {name}"
        fault = misfit(each, known.get(name, others), root)
        if fault:
            return f"{name}: {fault}"
    return ""


def check_schemas(bundle, records, directory, findings):
    """Check every record and the summary against the schemas."""
    record_schema = strict((directory / "journal_record.schema.json").read_bytes())
    for number, record in enumerate(records, start=1):
        fault = misfit(record, record_schema, record_schema)
        if fault:
            findings.add(number, f"does not fit its schema: {fault}")
    for path in sorted(bundle.glob("*.summary.json")):
        schema = directory / f"{path.name[: -len('.json')]}.schema.json"
        if not schema.is_file():
            findings.remarks.append(f"{path.name} was not held to a schema: there is none for it")
            continue
        summary, schema = strict(path.read_bytes()), strict(schema.read_bytes())
        if summary.get("schema_version") != schema.get("properties", {}).get("schema_version", {}).get("const"):
            findings.remarks.append(f"{path.name} was not held to its schema: that is of another version")
            continue
        fault = misfit(summary, schema, schema)
        if fault:
            findings.add(0, f"{path.name} does not fit its schema: {fault}")


def check_summary(bundle, records, heads, state, findings):
    """Check that the summary knows this log: its length, its head, the state."""
    body = records[0]["body"]
    path = bundle / f"{body.get('machine')}.summary.json"
    if not path.is_file():
        findings.remarks.append(f"there is no {path.name}")
        return
    summary = strict(path.read_bytes())
    count = summary.get("journal", {}).get("records")
    if not isinstance(count, int) or not 0 < count <= len(records):
        findings.add(0, f"{path.name} knows {count} records, the log holds {len(records)}: it was cut off")
    elif summary["journal"].get("head") != heads[count - 1]:
        findings.add(count, f"{path.name} knows another record: the log was rewritten")
    elif count == len(records) and (summary.get("run_id"), summary.get("state")) != (body.get("run_id"), state):
        findings.add(0, f"{path.name} is of another run, or of another state")


# --- seals --------------------------------------------------------------------------------------------------


def check_seals(bundle, records, heads, sizes, key, findings):
    """Check every seal: its place in the row, the log's head, every file of the newest, the newest's signature."""
    seals = _seals(bundle, findings)
    if not seals:
        if key:
            findings.add(0, "the bundle has no seal, so the key signed nothing")
        else:
            findings.remarks.append("chained but unsigned: the bundle has no seal")
        return
    before = None
    for number, (name, raw, statement, envelope) in enumerate(seals, start=1):
        expected = {"name": before[0], "sha256": hashlib.sha256(before[1]).hexdigest()} if before else None
        if int(name[:4]) != number or statement["predicate"].get("previous") != expected:
            findings.add(0, f"seals/{name} does not follow the seal before it: one was removed or replaced")
        _check_sealed_log(name, statement["predicate"], records, heads, sizes, findings)
        before = (name, raw)
        if envelope and key and not _is_signed(envelope, key) and number == len(seals):
            findings.add(0, f"seals/{name} has no signature that holds under {key}")
    name, _, statement, envelope = seals[-1]
    _check_files(bundle, name, statement, records, findings)
    if envelope is None and key:
        findings.add(0, f"the newest seal, seals/{name}, is not signed")
    elif envelope is None:
        findings.remarks.append("chained but unsigned")
    elif not key:
        findings.remarks.append("signed; the signature was not checked, as no --key was given")


def _seals(bundle, findings):
    seals = []
    for path in sorted((bundle / "seals").glob("*")) if (bundle / "seals").is_dir() else ():
        if path.name.startswith("."):
            continue
        if SEAL_NAME.fullmatch(path.name) is None:
            findings.add(0, f"seals/{path.name} is no seal")
            continue
        try:
            raw = path.read_bytes()
            envelope = strict(raw) if path.name.endswith("dsse.json") else None
            statement = strict(decoded(envelope["payload"]) if envelope else raw)
            if statement["_type"] != "https://in-toto.io/Statement/v1":
                raise ValueError("it is no statement")
            statement["predicate"]["journal"]["records"] += 0
            seals.append((path.name, raw, statement, envelope))
        except (ValueError, KeyError, TypeError) as fault:
            findings.add(0, f"seals/{path.name} can't be read: {fault}")
    return seals


def _check_sealed_log(name, predicate, records, heads, sizes, findings):
    sealed, begun = predicate["journal"], (records or [NO_RECORD])[0]["body"]
    count = sealed["records"]
    if count > len(records):
        findings.add(0, f"seals/{name} counts {count} records, the log holds {len(records)}: its end was cut off")
    elif count < 1 or (sealed.get("head"), sealed.get("size_bytes")) != (heads[count - 1], sizes[count - 1]):
        findings.add(count, f"seals/{name} names another head: the log was written anew")
    mode = "dry_run" if begun.get("dry_run") else begun.get("scope")
    for field, recorded in (("mode", mode), *((each, begun.get(each)) for each in ("run_id", "machine_sha256"))):
        if predicate.get(field) != recorded:
            findings.add(1, f"seals/{name} is of the {field} {predicate.get(field)}, the log of {recorded}")


def _check_files(bundle, name, statement, records, findings):
    sealed = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    journal = statement["predicate"]["journal"]
    grown = len(records) > journal["records"]
    if grown and records[-1]["kind"] in ("ended", "seal"):
        findings.add(0, f"the run has ended, and seals/{name} covers {journal['records']} of {len(records)} records")
    kept = (LOG, f"{statement['predicate'].get('machine')}.yaml")
    for path, sha256 in sealed.items():
        if grown and path not in kept:
            continue
        file = bundle / path
        if ".." in Path(path).parts or Path(path).is_absolute() or not file.is_file() or file.is_symlink():
            findings.add(0, f"{path} is in seals/{name}, and not in the bundle")
            continue
        raw = file.read_bytes()[: journal["size_bytes"] if path == LOG else None]
        if hashlib.sha256(raw).hexdigest() != sha256:
            findings.add(0, f"{path} is not the file that seals/{name} covers")
    for file in sorted(bundle.rglob("*")) if not grown else ():
        path = file.relative_to(bundle)
        hidden = any(part.startswith(".") or part == "private" for part in path.parts)
        if file.is_dir() or hidden or path.name in NOT_SEALED or path.parts[0] in ("seals", "exercise"):
            continue
        if path.as_posix() not in sealed:
            findings.add(0, f"{path} is not in seals/{name}: it was added")


def decoded(text):
    """Return what a Base64 text holds. Raises ValueError also for one that a writer would have written otherwise."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode("ascii") != text:
        raise ValueError("it is no Base64")
    return raw


def key_id(key):
    """Return the SHA-256 of a public key's DER form, from its PEM."""
    lines = Path(key).read_text("ascii").split("-----")[2]
    return hashlib.sha256(base64.b64decode("".join(lines.split()))).hexdigest()


def _is_signed(envelope, key):
    """Whether openssl finds a signature that holds, in this key's name. Raises OSError where there is no openssl."""
    payload, kind = decoded(envelope["payload"]), envelope.get("payloadType", "")
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    if kind != PAYLOAD_TYPE:
        return False
    with tempfile.TemporaryDirectory() as directory:
        signed, signature = Path(directory) / "message", Path(directory) / "signature"
        signed.write_bytes(message)
        for each in envelope.get("signatures", ()):
            if each.get("keyid") not in ("", None, key_id(key)):
                continue
            signature.write_bytes(base64.b64decode(each["sig"]))
            command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", str(signed)]
            command += ["-sigfile", str(signature)]
            for digest in ([], ["-digest", "sha384"]):  # the second is for keys on P-384
                if subprocess.run([*command, *digest], capture_output=True, check=False).returncode == 0:
                    return True
    return False


def verify(bundle, schemas, key):
    """Return what was found in a bundle."""
    findings = Findings()
    records, heads, sizes = read_log(bundle / LOG, findings)
    if records:
        state = check_course(records, findings)
        check_declaration(bundle, records, findings)
        check_summary(bundle, records, heads, state, findings)
        if schemas:
            check_schemas(bundle, records, schemas, findings)
    check_seals(bundle, records, heads, sizes, key, findings)
    return findings, len(records), heads[-1] if heads else ""


def main():
    """Check one bundle."""
    parser = argparse.ArgumentParser(description="Check a drfsm bundle without drfsm.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--schemas", type=Path, help="directory with the JSON Schemas")
    parser.add_argument("--key", help="public key of the signer, in PEM")
    options = parser.parse_args()
    if options.key and not shutil.which("openssl"):
        print("openssl is missing: signatures can't be checked", file=sys.stderr)
        return 2
    try:
        findings, count, head = verify(options.bundle, options.schemas, options.key)
    except OSError as fault:
        print(f"{fault.filename or options.bundle}: {fault.strerror or fault}", file=sys.stderr)
        return 2
    for line in [*findings, *(f"remark: {remark}" for remark in findings.remarks)]:
        print(line.encode("unicode_escape").decode("ascii"))
    print(f"{'DOES NOT HOLD' if findings else 'holds'}: {count} records, head {head}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
