"""The terraform binary as a process: its environment, log, locks and interruption.

Owns the choice of the binary (``TERRAFORM``, else ``terraform`` on the PATH) and the meaning of its exits: a held lock,
a stale plan, a refusal, an interruption. It runs in its own session, so a Ctrl-C at the terminal reaches it once,
through this module: terraform finishes its current operation, writes its state and releases its lock, and only then
does drfsm stop. Its output goes to private files, not through a pipe: if drfsm is killed, terraform still runs to its
end. The log for operators is written from these files, without the values of variables and credentials. Used by
terraform.py only.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from drfsm.adapters.private import PrivateFiles
from drfsm.claims import bounded, field, object_of
from drfsm.errors import ActionFailed, UsageFault
from drfsm.files import Directory
from drfsm.world import Watch

POLL_SECONDS = 0.1
LOCK_SECONDS = 30  # how long terraform waits for a held lock
ENDING_SECONDS = 900.0  # the time that terraform gets to finish its current operation
QUERY_SECONDS = 300.0
_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|PRIVATE|ACCESS_KEY(?!_ID)|API_KEY", re.IGNORECASE)
_SHORTEST = 4  # a shorter value is no secret, and would mask half of the log
LARGEST_BYTES = 64 << 20  # bytes of the output about a plan or a state
_LINE = 16  # of a secret with many lines, mask each line of this length
_LOCKED, _STALE = "Error acquiring the state lock", "Saved plan is stale"
_REPORTED = frozenset({"change_summary", "apply_start", "apply_complete", "apply_errored", "diagnostic"})
_OURS = frozenset({"TF_WORKSPACE", "TF_DATA_DIR", "TF_INPUT", "TF_IN_AUTOMATION"})


class TerraformFailed(ActionFailed):
    """Terraform ended with an error. ``stale``: the plan is out of date; ``locked``: the state is locked."""

    def __init__(self, what: str, *, hint: str, summary: str) -> None:
        super().__init__(what, hint=hint, fault="operator")
        self.stale = summary == _STALE
        self.locked = summary == _LOCKED


class Terraform:
    """One module, and the binary that acts on it. ``logs`` is the directory of its logs for operators."""

    def __init__(
        self,
        module: Path,
        private: PrivateFiles,
        logs: Path,
        environ: Mapping[str, str],
        *,
        lock_seconds: int = LOCK_SECONDS,
    ) -> None:
        self.module, self._private, self._logs, self._lock_seconds = module, private, logs, lock_seconds
        self._binary = found_binary(environ)
        self._environ = _checked(environ)
        self._secrets = {value for name, value in environ.items() if _SECRET.search(name) and len(value) >= _SHORTEST}
        self._initialised = False
        self._version = ""

    @property
    def version(self) -> str:
        """The binary's name and version: ``terraform 1.11.4``."""
        if not self._version:
            printed = object_of(self._query(["version", "-json"], {}, None, where=False), "terraform's version")
            version = field(printed, "terraform_version", str, "terraform's version")
            self._version = f"{Path(self._binary).name} {bounded(version, 40)}"
        return self._version

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these values in the log."""
        for secret in secrets:
            self._secrets |= {secret} if len(secret) >= _SHORTEST else set()
            self._secrets |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= _LINE}

    def init(self, watch: Watch, variables: Mapping[str, str]) -> None:
        """Run ``init``, with the backend settings of TF_BACKEND_*; once in a process."""
        if self._initialised:
            return
        backend = [f"-backend-config={self._backend()}"] if self._backend() else []
        self.run(["init", "-reconfigure", *backend], variables, watch)
        self._initialised = True

    def run(
        self, command: Sequence[str], variables: Mapping[str, str], watch: Watch, workspace: str | None = None
    ) -> None:
        """Run a command that may change something; raise the error for its failure after it has really ended."""
        tells_json = command[0] != "init"
        argv = self._argv([command[0], "-input=false", "-no-color", *self._ways(command[0]), *command[1:]])
        run = _Running(argv, self._with(variables, workspace), self._private, command[0])
        log = _Log(self._logs, command[0], self._hidden, watch, tells_json=tells_json)
        try:
            run.wait(watch, lambda: log.add(run.news()))
        finally:
            log.add(run.news(whole=True))
            complaints = run.complaints()
        if run.code:
            raise self._failed(command[0], log.errors or complaints, log.path)

    def text(self, command: Sequence[str], variables: Mapping[str, str]) -> str:
        """Run a short command about workspaces; return its output."""
        return self._query(command, variables, None)

    def json(self, command: Sequence[str], variables: Mapping[str, str], workspace: str) -> Any:
        """Run a short command in a workspace; return its JSON output, which may contain secrets."""
        printed = self._query(command, variables, workspace)
        return object_of(printed, f"the output of terraform {command[0]}", largest_bytes=LARGEST_BYTES)

    # --- how ------------------------------------------------------------------------------------------------

    def _ways(self, verb: str) -> list[str]:
        return [] if verb == "init" else ["-json", f"-lock-timeout={self._lock_seconds}s"]

    def _argv(self, command: Sequence[str], *, where: bool = True) -> list[str]:
        return [self._binary, *([f"-chdir={self.module}"] if where else []), *command]

    def _with(self, variables: Mapping[str, str], workspace: str | None = None) -> dict[str, str]:
        environ = {
            **self._environ,
            **{f"TF_VAR_{name}": value for name, value in variables.items()},
            "TF_DATA_DIR": str(self._private.home("terraform")),
            "TF_INPUT": "0",
            "TF_IN_AUTOMATION": "1",
        }
        return environ | ({"TF_WORKSPACE": workspace} if workspace else {})

    def _query(
        self, command: Sequence[str], variables: Mapping[str, str], workspace: str | None, *, where: bool = True
    ) -> str:
        try:
            ended = subprocess.run(
                self._argv(command, where=where),
                env=self._with(variables, workspace),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=QUERY_SECONDS,
                start_new_session=True,
                umask=0o077,
            )
        except subprocess.TimeoutExpired:
            message = f"terraform {command[0]} did not answer within {QUERY_SECONDS:.0f} s"
            raise ActionFailed(message, hint="check the backend's network") from None
        if ended.returncode:
            raise self._failed(command[0], _boxed(ended.stderr), None)
        return ended.stdout

    def _backend(self) -> Path | None:
        """Write the backend's settings to a private file: arguments are visible in the process table."""
        settings = {
            name.removeprefix("TF_BACKEND_").lower(): value
            for name, value in sorted(self._environ.items())
            if name.startswith("TF_BACKEND_")
        }
        if not settings:
            return None
        lines = "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())
        return self._private.write("terraform.backend.hcl", lines.encode())

    def _hidden(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def _failed(self, verb: str, errors: Sequence[tuple[str, str]], log: Path | None) -> TerraformFailed:
        summary, detail = errors[0] if errors else ("it gave no reason", "")
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        hint = f"read {log}" if log else "run the command by hand to see more"
        if summary == _LOCKED:
            held = dict(re.findall(r"^\s*(ID|Who|Operation|Created):\s+(.+?)\s*$", detail, re.MULTILINE))
            who, since = held.get("Who", "somebody"), held.get("Created", "")
            detail = f"{who} has held it since {since} ({held.get('Operation', 'an operation')})"
            hint = (
                f"wait until it ends, then `drfsm resume`; only if you know that its process is dead:"
                f" terraform -chdir={self.module} force-unlock {held.get('ID', '<ID>')}"
            )
        if summary == _STALE:
            hint = "`drfsm resume` plans the rest again"
        first = next((line.strip() for line in detail.splitlines() if line.strip()), "")
        message = self._hidden(f"terraform {verb}: {summary}{f': {first}' if first else ''}{more}")
        return TerraformFailed(message, hint=hint, summary=summary)


class _Running:
    """A running terraform, with its output in private files."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], private: PrivateFiles, verb: str) -> None:
        number = time.time_ns()  # an earlier one that outlived drfsm may still write to its own files
        self._private = private
        self._out, self._err = f"terraform/{verb}.{number}.out", f"terraform/{verb}.{number}.err"
        out, err = private.create(self._out), private.create(self._err)
        try:
            self._process = subprocess.Popen(
                argv,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                umask=0o077,
            )
        finally:
            os.close(out)
            os.close(err)
        self._read = 0

    @property
    def code(self) -> int:
        """The exit status."""
        return int(self._process.returncode)

    def wait(self, watch: Watch, news: Any) -> None:
        """Wait for its end. If drfsm is stopped, ask terraform to stop, once, and wait until it has."""
        try:
            while self._process.poll() is None:
                watch.check()
                news()
                time.sleep(POLL_SECONDS)
        except BaseException:
            self._interrupt(watch)
            raise

    def _interrupt(self, watch: Watch) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)  # once: after a second signal terraform would not release its lock
        watch.say("terraform was asked to stop; it finishes its current operation and releases its lock")
        deadline = time.monotonic() + ENDING_SECONDS
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                message = f"terraform (process {self._process.pid}) does not end and may still hold its lock"
                raise ActionFailed(message, hint="find out what it waits for, then drfsm resume")
            with suppress(KeyboardInterrupt):  # a second Ctrl-C is ignored: stopping now would leave the lock
                time.sleep(POLL_SECONDS)

    def news(self, *, whole: bool = False) -> list[str]:
        """Return the new lines of its output; an incomplete last line only at the end."""
        body = self._private.read(self._out, start=self._read) or b""
        if not whole:
            body = body[: body.rfind(b"\n") + 1]
        self._read += len(body)
        return body.decode("utf-8", "replace").splitlines()

    def complaints(self) -> list[tuple[str, str]]:
        """Return the errors in its plain output; the output is in the log, so its file is removed."""
        errors = _boxed((self._private.read(self._err) or b"").decode("utf-8", "replace"))
        self._private.forget(self._out)
        self._private.forget(self._err)
        return errors


class _Log:
    """Terraform's output for operators, without secrets: a file for each call, and important lines as they come."""

    def __init__(self, logs: Path, verb: str, hidden: Any, watch: Watch, *, tells_json: bool) -> None:
        with Directory.make(logs) as directory:
            taken = set(directory.names())
            names = (f"terraform-{verb}-{number}.log" for number in range(1, 10_000))
            self.path = logs / next(name for name in names if name not in taken)
            os.close(directory.create(self.path.name))
        self.errors: list[tuple[str, str]] = []
        self._hidden, self._watch, self._json = hidden, watch, tells_json

    def add(self, lines: Iterable[str]) -> None:
        """Append its output to the log."""
        with Directory.own(self.path.parent) as directory:
            for words, important in self._read(lines):
                line = self._hidden(words)
                directory.append(self.path.name, f"{line}\n".encode("utf-8", "backslashreplace"))
                if important:
                    self._watch.say(line)

    def _read(self, lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
        for line in lines:
            try:
                said: Any = json.loads(line) if self._json else {"@message": line}
            except ValueError:
                continue  # an incomplete line of a killed terraform
            diagnostic = said.get("diagnostic") or {}
            if diagnostic.get("severity") == "error":
                self.errors.append((diagnostic.get("summary", ""), diagnostic.get("detail", "")))
            detail = f": {diagnostic['detail']}" if diagnostic.get("detail") else ""
            words = str(said.get("@message", ""))
            yield f"{words}{detail}", said.get("type") in _REPORTED or words.lstrip("│ ").startswith("Warning: ")


def found_binary(environ: Mapping[str, str]) -> str:
    """Return the binary's path. Raises UsageFault if there is none."""
    binary = environ.get("TERRAFORM") or "terraform"
    location = shutil.which(binary, path=environ.get("PATH"))
    if location is None:
        message = f"{binary} is not on the PATH"
        raise UsageFault(message, hint="install terraform 1.4 or newer, or export TERRAFORM=/path/to/terraform")
    return location


def _checked(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for terraform, without the variables that drfsm sets. Raises UsageFault."""
    if arguments := sorted(name for name in environ if name.startswith("TF_CLI_ARGS")):
        raise UsageFault(
            f"{', '.join(arguments)} is set: it would change what terraform plans and applies",
            hint=f"unset {' '.join(arguments)}; give variables by TF_VAR_<name> or *.auto.tfvars",
        )
    kept = {name: value for name, value in environ.items() if name not in _OURS}
    if "TF_PLUGIN_CACHE_DIR" not in kept and "TF_CLI_CONFIG_FILE" not in kept:
        cache = Path(kept.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drfsm/terraform-plugins"
        with suppress(OSError):  # without it, every run only downloads its providers again
            cache.mkdir(parents=True, exist_ok=True)
            kept["TF_PLUGIN_CACHE_DIR"] = str(cache)
    return kept


def _boxed(text: str) -> list[tuple[str, str]]:
    """Return (summary, detail) of every error in terraform's plain output."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.lstrip("│╷╵ ") for line in plain.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    if not starts and (words := " ".join(plain.split())):
        return [(words, "")]
    ends = [*starts[1:], len(lines)]
    return [
        (lines[start].removeprefix("Error: "), "\n".join(lines[start + 1 : end]).strip())
        for start, end in zip(starts, ends, strict=False)
    ]


def _quoted(value: str) -> str:
    """Return a string in HCL: JSON's syntax, with HCL's two template markers escaped."""
    return json.dumps(value).replace("${", "$${").replace("%{", "%%{")
