"""drfsm.toml: where it lies, whether this user may rely on it, and every fault in it at once.

`DRFSM_CONFIG` names the file, or is ``none``; else it is the first drfsm.toml in the working directory or above it. A
file that was come upon counts only if nobody but this user and root could have written it. Values are read by the table
of config_keys.py. Secrets are refused, and never quoted. Used by config_defaults.py (options) and config.py (verbs).
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, printable
from drfsm.cli.config_keys import FILE, KEYS
from drfsm.cli.nearest import did_you_mean
from drfsm.errors import DeclarationFault, DrfsmError, UsageFault
from drfsm.files import given_file, written_by_others

NAME, VARIABLE, NO_FILE = "drfsm.toml", "DRFSM_CONFIG", "none"
LARGEST_BYTES = 64 << 10
_MOST_LINES = 1000  # above, faults carry no line: a line is found by reading the file again and again
_DEEPEST = 8
_SECRET_KEY = re.compile(
    r"(?i)secret|token|passw|passphrase|credential|private_?key|access_?key|api_?key|client_?key|authorization"
)
_SECRET_VALUE = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN|\bgh[opsu]_[A-Za-z0-9]{20,}|\bgithub_pat_|\bxox[abprs]-|\beyJ[\w-]{10,}\.eyJ"
    r"|://[^/\s:@]*:[^/\s@]+@"
)


@frozen
class Fault:
    """One fault: the line where it stands (0: not known), the key's dotted path, what is wrong, and the mend."""

    line: int
    path: str
    what: str
    mend: str = ""

    def words(self, file: Path) -> str:
        """Return it on one line: the file, the line, the key, what is wrong, what to do."""
        where = f"{printable(file)}:{self.line}" if self.line else printable(file)
        subject = f" {printable(self.path)}:" if self.path else ""
        return f"{where}:{subject} {self.what}{f'. {self.mend}' if self.mend else ''}"


@frozen
class Config:
    """A file that was read. ``values``: dotted path -> value as it stands there, of every key that is without fault."""

    path: Path
    named: bool  # by DRFSM_CONFIG; else it was come upon
    text: str
    values: Mapping[str, Any]
    faults: tuple[Fault, ...]

    @property
    def sha256(self) -> str:
        """The digest of its bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def place_of(self, path: str) -> Path:
        """Return the file that a key names. Relative paths begin at the file's own directory."""
        return self.path.parent / Path(str(self.values[path])).expanduser()

    def line_of(self, path: str) -> int:
        """Return the line on which a key stands, 0 if that is not known."""
        return line_of(self.text, tuple(path.split(".")))

    def checked(self) -> "Config":
        """Return it. Raises DeclarationFault with every fault."""
        if self.faults:
            raise refusal(self, self.faults)
        return self


def refusal(config: Config, faults: tuple[Fault, ...]) -> DeclarationFault:
    """Return the error for a file that can't be relied on: every fault, one a line."""
    count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    lines = [fault.words(config.path) for fault in faults]
    return DeclarationFault(f"{printable(config.path)}: {count}; nothing was touched", lines)


def find(environ: Mapping[str, str] = os.environ, directory: Path | None = None) -> tuple[Path, bool] | None:
    """Return (the file, whether DRFSM_CONFIG names it), None where there is none. Raises UsageFault."""
    if named := environ.get(VARIABLE, ""):
        if named == NO_FILE:
            return None
        path = Path(named).expanduser().absolute()
        if not path.is_file():
            raise UsageFault(
                f"{VARIABLE} names a file that does not exist: {printable(path)}",
                hint=f"name an existing file, or: export {VARIABLE}={NO_FILE}",
            )
        return path, True
    try:
        start = directory or Path.cwd()
    except FileNotFoundError:  # the working directory was removed
        return None
    return next(((place / NAME, False) for place in (start, *start.parents) if os.path.lexists(place / NAME)), None)


def read(environ: Mapping[str, str] = os.environ, directory: Path | None = None) -> Config | None:
    """Return the file that holds here, None where there is none.

    Raises UsageFault for one that can't be read, or that somebody else could have written.
    """
    found = find(environ, directory)
    if found is None:
        return None
    path, named = found
    if not named and (why := written_by_others(path)):
        raise UsageFault(
            f"{why}: what {printable(path)} says is not taken from others",
            hint=f"read it; if it is right: export {VARIABLE}={printable(path)}; to go without it:"
            f" export {VARIABLE}={NO_FILE}",
        )
    return parsed(path, given_file(path, "the configuration", LARGEST_BYTES), named=named)


def parsed(path: Path, raw: bytes, *, named: bool) -> Config:
    """Return what a file's bytes say, with every fault in them. Reads no other file."""
    try:
        text = raw.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as fault:
        line = raw[: fault.start].count(b"\n") + 1
        return Config(path, named, "", {}, (Fault(line, "", "it is not UTF-8 text", "Save it as UTF-8"),))
    except (ValueError, RecursionError) as fault:
        why = "it is nested too deeply" if isinstance(fault, RecursionError) else bounded(fault, 200)
        position = re.search(r"at line (\d+)", why)
        return Config(path, named, text, {}, (Fault(int(position[1]) if position else 0, "", f"no TOML: {why}"),))
    values: dict[str, Any] = {}
    faults = [*_faults(text, document, values), *_contradictions(text, values)]
    return Config(path, named, text, values, tuple(sorted(faults, key=lambda fault: (fault.line, fault.path))))


def _faults(
    text: str, table: Mapping[str, Any], values: dict[str, Any], above: tuple[str, ...] = ()
) -> Iterator[Fault]:
    """Yield the faults of a table, and put the values of its keys into ``values``."""
    for name, value in table.items():
        place = (*above, name)
        path = ".".join(place)
        if secret := _secret_in(name, value):
            yield Fault(line_of(text, place), path, secret, "The file holds no secrets: take it out, and renew it")
        elif path in KEYS:
            if KEYS[path].kind.fits(value):
                values[path] = value
            else:
                yield Fault(line_of(text, place), path, f"must be {KEYS[path].kind.words}, not {_shown(value)}")
        elif any(known.startswith(f"{path}.") for known in KEYS):
            if isinstance(value, dict):
                yield from _faults(text, value, values, place)
            else:
                yield Fault(line_of(text, place), path, f"must be a table, as [{path}], not {_shown(value)}")
        else:
            known = [key for key in KEYS if "." not in key[len(path) - len(name) :]] if above else [*KEYS, *_tables()]
            yield Fault(line_of(text, place), path, "there is no such key", _nearest(path, known))


def _nearest(path: str, names: list[str]) -> str:
    last = path.rpartition(".")[2]
    by_last = [known for known in KEYS if known.rpartition(".")[2] == last]
    if by_last:
        return f"Did you mean: {', '.join(by_last)}?"
    return did_you_mean(path, names or KEYS) or "`drfsm config show` lists the keys"


def _tables() -> list[str]:
    return sorted({key.rpartition(".")[0] for key in KEYS if "." in key})


def _secret_in(name: str, value: Any, depth: int = 0) -> str:
    """Return, in words, what looks like a secret in a key or its value; "" for nothing. Never the value itself."""
    if _SECRET_KEY.search(name):
        return "this looks like a secret"
    if isinstance(value, str) and looks_secret(value):
        return "its value looks like a secret"
    if depth < _DEEPEST and isinstance(value, list):
        return next((words for item in value if (words := _secret_in("", item, depth + 1))), "")
    return ""


def looks_secret(text: str) -> bool:
    """Whether a value looks like a secret, so that it must not be printed."""
    return bool(_SECRET_VALUE.search(text))


def _shown(value: Any) -> str:
    """Return a value for a message."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return bounded(str(value).lower() if isinstance(value, bool) else repr(value), 60)


def _contradictions(text: str, values: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what can't both be meant, of keys that are right one by one."""
    for last, why in (
        ("kubeconfig", "both sites have the same kubeconfig: they must be two clusters"),
        ("fence_role", "both sites publish with the same role: a fence would deny both"),
    ):
        primary, dr = (values.get(f"sites.{site}.{last}") for site in ("primary", "dr"))
        if primary is not None and os.path.normpath(primary) == os.path.normpath(dr or ""):
            yield Fault(line_of(text, ("sites", "dr", last)), f"sites.dr.{last}", why, "Give each site one of its own")
    yield from _idle_policies(text, values)
    for site in ("primary", "dr"):
        if f"sites.{site}.context" in values and f"sites.{site}.kubeconfig" not in values:
            path = f"sites.{site}.context"
            yield Fault(
                line_of(text, tuple(path.split("."))), path, "there is no kubeconfig that could have this context",
                f"Add sites.{site}.kubeconfig",
            )  # fmt: skip


def _idle_policies(text: str, values: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield each rule of approvals beside no number of them: it would ask for nothing, and look as if it did."""
    for procedure in ("failback", "drill"):
        table = f"policies.{procedure}"
        idle = [path for path in values if path.startswith(f"{table}.")]
        if idle and f"{table}.approvals" not in values:
            line = line_of(text, tuple(idle[0].split(".")))
            yield Fault(line, idle[0], "nothing asks for an approval", f"Add {table}.approvals = 1, or more")


def line_of(text: str, place: tuple[str, ...]) -> int:
    """Return the line on which a key is set, 0 if that is not known.

    tomllib tells no lines. But a file that is cut after a line is TOML again wherever a statement ends: the key stands
    in the statement after the last cut that lacks it.
    """
    lines = text.splitlines(keepends=True)
    if len(lines) > _MOST_LINES:
        return 0
    begins = 0
    for number in range(1, len(lines) + 1):
        try:
            document: Any = tomllib.loads("".join(lines[:number]))
        except (ValueError, RecursionError):
            continue
        if _has(document, place):
            blank = (line for line in lines[begins:number] if not line.strip() or line.lstrip().startswith("#"))
            return min(begins + sum(1 for _ in blank) + 1, number)
        begins = number
    return 0


def _has(document: Any, place: tuple[str, ...]) -> bool:
    for name in place:
        if isinstance(document, list):
            document = document[-1] if document else None
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True


# --- what the values lead to ----------------------------------------------------------------------------


def files_faults(config: Config) -> Iterator[Fault]:
    """Yield what is wrong with the files that the keys name: missing, no kubeconfig, another context, no contract."""
    for path, key in KEYS.items():
        if key.kind is FILE and path in config.values and (fault := file_fault(config, path)):
            yield fault
    servers = {site: _server(config, f"sites.{site}.kubeconfig") for site in ("primary", "dr")}
    if servers["primary"] and servers["primary"] == servers["dr"]:
        path = "sites.dr.kubeconfig"
        why = f"both kubeconfigs lead to {bounded(servers['dr'], 200)}: they must be two clusters"
        yield Fault(config.line_of(path), path, why)


def file_fault(config: Config, path: str) -> Fault | None:
    """Return what is wrong with the file that a key names, None for nothing."""
    file = config.place_of(path)
    if not file.is_file():
        begin = f"Paths begin at {printable(config.path.parent)}"
        return Fault(config.line_of(path), path, f"there is no file {printable(file)}", begin)
    try:
        if path.endswith(".kubeconfig"):
            return _kubeconfig_fault(config, path, file)
        if path == "workload":
            from drfsm.dr import workload

            workload.read(given_file(file, path), file.name)
        if path == "comparison_profile":
            from drfsm.dr.artifacts.compare import load

            load(given_file(file, path), file.name)
    except DrfsmError as fault:
        return Fault(config.line_of(path), path, "; ".join(line.strip() for line in fault.lines()))
    return None


def _kubeconfig_fault(config: Config, path: str, file: Path) -> Fault | None:
    """Return what is wrong with a kubeconfig and its context. Quotes nothing of it but the names of its contexts."""
    from drfsm.adapters import kube_access

    of_context = f"{path.rpartition('.')[0]}.context"
    wanted = config.values.get(of_context, "")
    contexts, current = kube_access.contexts(file)
    if wanted and wanted not in contexts:
        has = ", ".join(bounded(name, 60) for name in contexts[:8]) or "none"
        return Fault(
            config.line_of(of_context), of_context, f"{printable(file)} has no context {wanted}; it has: {has}"
        )
    if wanted and wanted != current:
        alone = f"kubectl --kubeconfig {printable(file)} config view --minify --flatten --context {wanted}"
        is_now = bounded(current, 60) or "not set"
        what = f"the current context of {printable(file)} is {is_now}, not {wanted}: drfsm uses the current one"
        return Fault(
            config.line_of(of_context), of_context, what, f"Give the site a kubeconfig of its own: {alone} > FILE"
        )
    kube_access.read(file)
    return None


def _server(config: Config, path: str) -> str:
    """Return the address to which a kubeconfig leads, "" where it leads nowhere."""
    from drfsm.adapters import kube_access

    if path not in config.values:
        return ""
    try:
        return kube_access.read(config.place_of(path)).server
    except DrfsmError:
        return ""
