"""drfsm.toml: which file holds, what it may say, every fault at once, and what outranks what in every command."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.core import ParameterSource
from jsonschema import Draft202012Validator

from drfsm.cli import config_defaults, config_file
from drfsm.cli.config_keys import EXCEPTIONS, FILE, KEYS, TRUST, YIELDS, Key, key_of, page_table, schema, seconds_of
from drfsm.cli.config_scope import ON_A_RUN
from drfsm.cli.main import cli
from drfsm.dr.workload import SHIPPED
from drfsm.errors import UsageFault
from tests.command import KUBECONFIG, Drfsm

ROOT = Path(__file__).parents[2]
RUN = "2026-11-28T08:02:45Z"
SHA = "1893fa3d56bb2354978975730005f63adffc69486c9c81e9d5af8c8c7945620f"
GOOD: Mapping[str, str] = {
    # key -> a value, as TOML
    "bucket": '"results"', "prefix": '"jobs/a"', "region": '"eu-west-1"', "endpoint_url": '"http://127.0.0.1:9"',
    "expect_account": '"111122223333"', "workload": '"workload.yaml"', "comparison_profile": '"profile.json"',
    "candidate": '"local"', "provider": '"p"', "profile": '"q"', "namespace": '"batch"', "configmap": '"settings"',
    "cronjob": '"daily"', "cronjob_selector": '"app=batch"',
    "sites.primary.kubeconfig": '"primary.yaml"', "sites.primary.context": '"c"',
    "sites.primary.fence_role": '"arn:aws:iam::111122223333:role/a"',
    "sites.dr.kubeconfig": '"dr.yaml"', "sites.dr.context": '"c"',
    "sites.dr.fence_role": '"arn:aws:iam::111122223333:role/b"',
    "objectives.recovery_time": '"4h"', "objectives.recovery_point": "86400", "objectives.drill_interval": '"30d"',
    "objectives.freshness": '"26h"',
    "policies.two_people": "true", "policies.approval_expires": '"12h"', "policies.soak": '"next"',
    **{f"policies.{name}.approvals": "2" for name in ("failback", "drill", "promote")},
    **{f"policies.{name}.signed": "true" for name in ("failback", "drill", "promote")},
    **{f"policies.{name}.distinct": "true" for name in ("failback", "drill")},
    **{f"policies.{name}.expires": '"8h"' for name in ("failback", "drill")},
    "notifications.targets": '["arn:aws:sns:eu-west-1:111122223333:dr", "$DR_WEBHOOK"]',
    "notifications.after": '"20m"',
    "evidence.sign_key": '"awskms:alias/seal"', "evidence.retain": '"7y"',
    "trust.machines": f'["{SHA}"]', "trust.allowed_signers": '"signers"',
}  # fmt: skip
BAD: Mapping[str, tuple[str, ...]] = {
    # a key whose kind others share, too -> values that it can't have
    "bucket": ('"Results"', '"a..b"', '""', "1", '["a"]', "{}"),
    "prefix": ('""', '"/"', '"../up"', '"a//b"', "true"),
    "region": ('"Frankfurt"', '"eu west"', "1"),
    "endpoint_url": ('"127.0.0.1:9"', '"file:///etc"', '""'),
    "expect_account": ("111122223333", '"1111"', '"11112222333x"'),
    "namespace": ('"Batch"', '"a/b"', "[]"),
    "sites.dr.kubeconfig": ("1", '""', '" "', '"a\\nb"', "{a = 1}"),
    "sites.dr.context": ('""', "1"),
    "sites.dr.fence_role": ('"role/b"', '"arn:aws:s3:::bucket"', '"*"'),
    "objectives.recovery_time": ('"4 hours"', "0", "-1", "nan", "inf", "true", '"0h"', '"999999999d"', "1979-05-27"),
    "policies.two_people": ('"yes"', "1"),
    "policies.approval_expires": ('"400d"', "0", '"never"'),
    "policies.soak": ('"none"', '"later"', "true"),
    "policies.failback.approvals": ("0", "10", "1.5", "true", '"2"'),
    "policies.failback.signed": ('"yes"', "1"),
    "policies.failback.expires": ('"400d"', "0", '"never"'),
    "notifications.targets": ('"$A"', '["https://example.org/hook"]', '["slack://a/b/c"]', '["$a"]', "[1]"),
    "evidence.sign_key": ('"seal.pem"', '""', "1"),
    "evidence.retain": ('"7 years"', '"0d"', "7"),
    "trust.machines": (f'"{SHA}"', '["abc"]', "[1]", f'["{SHA.upper()}"]'),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with the files that GOOD names, as the working directory; nothing in the environment."""
    for name in [key.variable for key in KEYS.values()] + [name for key in KEYS.values() for name in key.ambient]:
        monkeypatch.delenv(name or "none", raising=False)
    monkeypatch.delenv(config_file.VARIABLE, raising=False)
    directory = tmp_path / "place"
    directory.mkdir()
    (directory / "primary.yaml").write_text(KUBECONFIG, encoding="utf-8")
    (directory / "dr.yaml").write_text(KUBECONFIG.replace(":9", ":8"), encoding="utf-8")
    (directory / "profile.json").write_bytes((ROOT / "drfsm/dr/artifacts/compare/profiles/default.json").read_bytes())
    (directory / "signers").write_text("", encoding="utf-8")
    (directory / "workload.yaml").write_bytes(SHIPPED.read_bytes())
    monkeypatch.chdir(directory)
    return directory


def written(values: Mapping[str, str]) -> str:
    """Return a file with these values: dotted path -> TOML."""
    return "".join(f"{path} = {value}\n" for path, value in values.items())


def parsed(text: str | bytes) -> config_file.Config:
    """Return what a file's text says."""
    return config_file.parsed(Path("drfsm.toml"), text if isinstance(text, bytes) else text.encode(), named=False)


def tells(text: str | bytes) -> list[str]:
    """Return every fault of a file, without its name."""
    return [fault.words(Path("f")) for fault in parsed(text).faults]


# --- the table ------------------------------------------------------------------------------------------


def leaves(group: click.Group, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is no group, with the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *words, name)
        else:
            yield " ".join((*words, name)), command


LEAVES = dict(leaves(cli))
COLUMN = max(map(len, KEYS)) + 2
BOUND = [
    (words, parameter.name or "", key)
    for words, command in LEAVES.items()
    for parameter in command.params
    if (key := key_of(words, parameter.name or "")) is not None
]


def test_the_examples_here_are_of_every_key() -> None:
    """A new key is checked, too."""
    assert set(GOOD) == set(KEYS)
    assert set(BAD) <= set(KEYS)


@pytest.mark.parametrize("path", KEYS)
def test_something_reads_every_key(path: str) -> None:
    """An option of a command, a variable that is read, or the check of the kubeconfig beside it."""
    of_a_policy = path.startswith("policies.") and path.count(".") == 2  # tests/cli/test_approvals.py
    read_otherwise = path in TRUST or path.endswith(".context") or of_a_policy
    assert read_otherwise or any(key.path == path for _, _, key in BOUND)


def test_the_exceptions_are_of_options_that_there_are() -> None:
    """So that a renamed option is not left without its rule."""
    for words, name in EXCEPTIONS:
        assert name in {parameter.name for parameter in LEAVES[words].params}, (words, name)
    for words, yields in YIELDS.items():
        names = {parameter.name for parameter in LEAVES[words].params}
        assert {*yields, *(name for filled in yields.values() for name in filled)} <= names


def test_no_option_that_asks_for_something_is_filled() -> None:
    """The only flag among all options that the file fills makes a rule stricter."""
    flags = {
        name
        for words, name, _ in BOUND
        for p in LEAVES[words].params
        if p.name == name and getattr(p, "is_flag", False)
    }
    assert flags == {"two_people"}


@pytest.mark.parametrize("procedure", ["drill", "failback", "promote"])
def test_a_plan_takes_from_the_file_what_its_start_takes(procedure: str) -> None:
    """Else a plan would be of other sites than the start that does it; less what only a start has."""
    of_plan = {(name, key.path) for words, name, key in BOUND if words == f"plan {procedure}"}
    of_start = {(name, key.path) for words, name, key in BOUND if words == procedure}
    options = {parameter.name for parameter in LEAVES[f"plan {procedure}"].params}
    assert of_plan == {(name, path) for name, path in of_start if name in options}
    assert ("bucket", "bucket") in of_plan


@pytest.mark.parametrize("procedure", ["drill", "plan drill"])
def test_a_drill_never_gets_its_site_from_the_file(procedure: str) -> None:
    """It would restore a backup over the DR site that stands by."""
    filled = {name for words, name, _ in BOUND if words == procedure}
    assert not filled & {"kubeconfig", "kubeconfig_dr", "kubeconfig_primary", "fence_primary_role", "fence_dr_role"}


def test_the_committed_schema_and_the_page_are_the_table() -> None:
    """docs/drfsm.schema.json is what `drfsm config schema` prints; docs/config.md lists every key."""
    file, page = ROOT / "docs/drfsm.schema.json", ROOT / "docs/config.md"
    due = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    text = re.sub(
        r"(?<=<!-- keys -->\n).*?(?=<!-- end -->)", lambda _: page_table(), page.read_text("utf-8"), flags=re.DOTALL
    )
    assert page_table() in text
    if os.environ.get("DRFSM_REGENERATE"):
        file.write_text(due, encoding="utf-8")
        page.write_text(text, encoding="utf-8")
    assert file.read_text("utf-8") == due
    assert page.read_text("utf-8") == text


def test_the_file_on_the_page_has_no_fault() -> None:
    """And the schema for editors accepts it, too."""
    (text,) = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/config.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert tells(text) == []
    assert len(parsed(text).values) > 10
    assert not list(Draft202012Validator(schema()).iter_errors(tomllib.loads(text)))


# --- what it may say ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", KEYS)
def test_a_good_value_is_read_and_the_schema_accepts_it(path: str) -> None:
    """Alone: what needs another key beside it is told elsewhere."""
    beside = {path.replace("context", "kubeconfig"): '"k"'} if "context" in path else {}
    if path.startswith("policies.") and path.count(".") == 2:
        beside = {f"{path.rpartition('.')[0]}.approvals": "2"}
    text = written({path: GOOD[path], **beside})
    assert tells(text) == []
    assert path in parsed(text).values
    assert not list(Draft202012Validator(schema()).iter_errors(tomllib.loads(text)))


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in BAD.items() for value in values])
def test_a_wrong_value_is_named_with_its_line(path: str, value: str) -> None:
    """And what it must be; its value is not used."""
    assert [line for line in tells(f"# first\n{path} = {value}\n") if line.startswith(f"f:2: {path}: must be ")]
    assert path not in parsed(f"{path} = {value}\n").values


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('buckt = "a"\n', "f:1: buckt: there is no such key. Did you mean: bucket?"),
        ('[sites.dr]\nkubeconfg = "a"\n', "f:2: sites.dr.kubeconfg: there is no such key. Did you mean: sites.dr."),
        ('[sites.standby]\nkubeconfig = "a"\n', "f:1: sites.standby: there is no such key"),
        ('[objectives]\nbucket = "a"\n', "f:2: objectives.bucket: there is no such key. Did you mean: bucket?"),
        ('sites = "a"\n', "f:1: sites: must be a table, as [sites], not 'a'"),
        ('[[sites.dr]]\nkubeconfig = "a"\n', "f:1: sites.dr: must be a table, as [sites.dr], not a list"),
        ('[sites.dr]\ncontext = "c"\n', "f:2: sites.dr.context: there is no kubeconfig that could have this context"),
        ('[sites]\nprimary.kubeconfig = "a"\ndr.kubeconfig = "./a"\n', "f:3: sites.dr.kubeconfig: both sites"),
        ("a = \n", "f:1: no TOML: "),
        ('a = 1\nbucket = "a"\nbucket = "b"\n', "f:3: no TOML: Cannot overwrite a value"),
        (b'bucket = "a"\nprefix = "\xff"\n', "f:2: it is not UTF-8 text"),
        ("a = " + "[" * 5000, "f: no TOML: it is nested too deeply"),
        ("a = " + "9" * 5000, "no TOML"),
        ("a = {b = 1, b = 2}", "no TOML"),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_meant_so_is_told(text: str | bytes, fault: str) -> None:
    """With the line, the key and the nearest name."""
    assert any(fault in line for line in tells(text)), tells(text)


SECRETS = (
    'password = "hunter2hunter2"', 'bucket = "AKIAABCDEFGHIJKLMNOP"', '[sites.dr]\ntoken = "hunter2hunter2"',
    'aws_secret_access_key = "hunter2hunter2"', 'endpoint_url = "https://ada:hunter2hunter2@store:9"',
    'trust.machines = ["-----BEGIN OPENSSH PRIVATE KEY-----hunter2hunter2"]',
    '[sites.primary]\nkubeconfig = "ghp_hunter2hunter2hunter2hunter2"', '[credentials]\na = "hunter2hunter2"',
)  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_refused_and_never_quoted(text: str) -> None:
    """By the name of its key, or by what it looks like."""
    lines = tells(text)
    assert any("looks like a secret" in line for line in lines)
    assert not any(word in line for line in lines for word in ("hunter2", "AKIAABCD", "BEGIN"))
    assert not parsed(text).values


def test_every_fault_is_told_at_once_in_the_order_of_the_lines() -> None:
    """A person mends them all, then looks again."""
    text = 'buckt = "a"\n\n# why\nprefix = 1\n[policies]\nsoak = """\nnever\n"""\n\ntwo_people = "yes"\n'
    assert [re.match(r"f:(\d+): ([\w.]+)", line).groups() for line in tells(text)] == [  # type: ignore[union-attr]
        ("1", "buckt"), ("4", "prefix"), ("6", "policies.soak"), ("10", "policies.two_people"),
    ]  # fmt: skip


def test_a_file_of_many_lines_is_told_without_lines() -> None:
    """Rather than read a thousand times over."""
    assert tells("# x\n" * 5000 + "a = 1\n") == ["f: a: there is no such key. `drfsm config show` lists the keys"]


@pytest.mark.parametrize(
    ("value", "seconds"), [(5, 5), (1.5, 1.5), ("90s", 90), ("1h30m", 5400), ("2d", 172800), ("1.5h", 5400), ("5", 0)]
)
def test_durations_are_as_options_have_them(value: object, seconds: float) -> None:
    """But a bare number in quotes is none: it would hide its unit."""
    assert seconds_of(value) == seconds


def test_what_the_files_lead_to_is_checked_too(place: Path, drfsm: Drfsm) -> None:
    """Missing files, contexts that a kubeconfig lacks or that are not current, one cluster twice, no contract."""
    two = KUBECONFIG.replace("contexts: [", "contexts: [{name: other, context: {cluster: c, user: u}}, ")
    (place / "dr.yaml").write_text(two, encoding="utf-8")
    (place / "workload.yaml").write_text("name: [", encoding="utf-8")
    sites = {name: value for name, value in GOOD.items() if name.startswith("sites.") and "role" not in name}
    text = written(sites | {"sites.primary.context": '"lost"', "sites.dr.context": '"other"'})
    (place / "drfsm.toml").write_text(
        text + 'workload = "workload.yaml"\ncomparison_profile = "none.json"\n', encoding="utf-8"
    )
    answer = drfsm("config", "check")
    assert answer.code == 2
    for words in (
        "primary.yaml has no context lost; it has: c", "dr.yaml is c, not other: drfsm uses the current one",
        "--minify --flatten --context other > FILE", "both kubeconfigs lead to https://127.0.0.1:9", "5: workload: ",
        f"6: comparison_profile: there is no file {place / 'none.json'}",
    ):  # fmt: skip
        assert words in answer.err, words
    assert "a-token-that-nobody-may-see" not in answer.err
    told = drfsm("config", "check", "-o", "json")
    assert told.code == 2
    assert {fault["line"] for fault in told.json["faults"]} == {2, 3, 4, 5, 6}


# --- which file -----------------------------------------------------------------------------------------


def test_the_file_is_found_upwards_and_the_nearest_holds(place: Path) -> None:
    """And a variable names another, or none."""
    below = place / "a" / "b"
    below.mkdir(parents=True)
    (place / "drfsm.toml").write_text("", encoding="utf-8")
    assert config_file.find({}, below) == (place / "drfsm.toml", False)
    (place / "a" / "drfsm.toml").write_text("", encoding="utf-8")
    assert config_file.find({}, below) == (place / "a" / "drfsm.toml", False)
    assert config_file.find({"DRFSM_CONFIG": str(place / "signers")}, below) == (place / "signers", True)
    assert config_file.find({"DRFSM_CONFIG": "none"}, below) is None
    with pytest.raises(UsageFault, match="does not exist"):
        config_file.find({"DRFSM_CONFIG": str(place / "lost")}, below)


@pytest.mark.parametrize("way", ["file", "directory", "directory above"])
def test_a_file_that_others_could_have_written_is_refused_unless_it_is_named(place: Path, way: str) -> None:
    """As git refuses such a repository."""
    file = place / "a" / "drfsm.toml"
    file.parent.mkdir()
    file.write_text('bucket = "a"\n', encoding="utf-8")
    assert config_file.read({}, file.parent) is not None
    {"file": file, "directory": file.parent, "directory above": place}[way].chmod(0o777)
    with pytest.raises(UsageFault, match="others may write to") as refused:
        config_file.read({}, file.parent)
    assert f"export DRFSM_CONFIG={file}" in refused.value.hint
    assert config_file.read({"DRFSM_CONFIG": str(file)}) is not None
    assert config_file.read({"DRFSM_CONFIG": "none"}, file.parent) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused_unless_it_is_named(place: Path) -> None:
    """Where a directory is everybody's, as /tmp is, anybody may have left one there."""
    file = place / "drfsm.toml"
    file.write_text("", encoding="utf-8")
    place.chmod(0o1777)
    assert config_file.read({}, place) is not None
    os.chown(file, 12345, 12345)
    with pytest.raises(UsageFault, match="belongs to the user 12345"):
        config_file.read({}, place)


@pytest.mark.parametrize("kind", ["directory", "fifo", "lost link", "large"])
def test_what_is_no_file_in_its_place_is_refused(place: Path, drfsm: Drfsm, kind: str) -> None:
    """It is never waited for, and never taken for no file."""
    file = place / "drfsm.toml"
    make: Mapping[str, Any] = {
        "directory": file.mkdir,
        "fifo": lambda: os.mkfifo(file),
        "lost link": lambda: file.symlink_to(place / "lost"),
        "large": lambda: file.write_text("# x\n" * 20_000, encoding="utf-8"),
    }
    make[kind]()
    answer = drfsm("config", "show")
    assert answer.code == 2
    assert str(file) in answer.err


# --- what outranks what ---------------------------------------------------------------------------------


def sources(words: str, typed: tuple[str, ...] = ()) -> tuple[click.Context, dict[str, ParameterSource | None]]:
    """Return a command's context and where each of its parameters comes from, as `drfsm` would parse it."""
    first, *more = words.split()
    root = click.Context(cli, **cli.context_settings)
    command = cli.get_command(root, first)
    assert command is not None
    with root:
        config_defaults.apply(root, first, command)
        context = root
        for name in (first, *more):
            assert isinstance(context.command, click.Group)
            part = context.command.get_command(context, name)
            assert part is not None
            if isinstance(part, click.Group):
                context = click.Context(part, info_name=name, parent=context)
            else:
                context = part.make_context(name, list(typed), parent=context)
    return context, {p.name or "": context.get_parameter_source(p.name or "") for p in context.command.params}


def flags_of(words: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the options of a command that give its parameters these values."""
    options = {p.name or "": p for p in LEAVES[words].params}
    return tuple(
        word
        for name, value in values.items()
        for word in (max(options[name].opts, key=len), *(() if getattr(options[name], "is_flag", False) else (value,)))
    )


REST: Mapping[str, tuple[str, ...]] = {
    # what a command needs beside what the file fills
    "failback": ("--dr-run-id", RUN), "plan failback": ("--dr-run-id", RUN),
    "runs show": (RUN,), "runs verify": (RUN,), "runs compare": (RUN, RUN), "runs sync": ("s3://a/b", "s3://a/c"),
    "pointers own": ("primary", "--reason", "x"), "pointers set": (RUN, "--reason", "x"),
    "fence lift": ("primary", "--reason", "x"),
    "control-plane publish": ("--image-ref-digest", f"r/a@sha256:{SHA}"),
    "backup restore": ("--backup-uri", "s3://results/jobs/backups/b"),
    "backup verify": ("--backup-uri", "s3://results/jobs/backups/b"),
    "endpoints declare": ("dr", "--reason", "x"),
    "bundle prune": ("--older-than", "90d"),
    "bundle pull": ("s3://results/jobs/drfsm/runs/r", "directory"),
    "kubeconfig": ("--instance-id", "i-0123456789abcdef0", "--file", "f"),
}  # fmt: skip


@pytest.mark.parametrize("words", sorted({words for words, _, _ in BOUND}))
def test_a_flag_outranks_the_environment_that_the_file_and_that_the_default(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """For every option that the file fills, of every command."""
    (place / "drfsm.toml").write_text(written(GOOD), encoding="utf-8")
    bound = {name: key for of, name, key in BOUND if of == words}
    options = {p.name or "": p for p in LEAVES[words].params}
    others = {name: other_value(key, place) for name, key in bound.items()}
    rest = REST.get(words, ())
    context, where = sources(words, rest)
    assert {where[name] for name in bound} == {ParameterSource.DEFAULT_MAP}
    from_file = {name: context.params[name] for name in bound}

    for name, value in others.items():
        monkeypatch.setenv(variables_of(options[name])[0], value)
    context, where = sources(words, rest)
    assert {where[name] for name in bound} == {ParameterSource.ENVIRONMENT}
    same = {name for name in bound if context.params[name] == from_file[name]}
    assert same <= {"workload", "two_people", "comparison_profile"}  # those are other files with the same content

    _, where = sources(words, (*rest, *flags_of(words, others)))
    assert {where[name] for name in bound} == {ParameterSource.COMMANDLINE}

    for name in bound:
        monkeypatch.delenv(variables_of(options[name])[0])
    monkeypatch.setenv("DRFSM_CONFIG", "none")
    required = {name: value for name, value in others.items() if options[name].required}
    _, where = sources(words, (*rest, *flags_of(words, required)))
    assert {where[name] for name in bound.keys() - required} <= {ParameterSource.DEFAULT}


def variables_of(parameter: click.Parameter) -> tuple[str, ...]:
    """Return the variables of a parameter, the first one outranks the others."""
    names = parameter.envvar or ()
    return (names,) if isinstance(names, str) else tuple(names)


def other_value(key: Key, place: Path) -> str:
    """Return another value than GOOD's, as an option takes it."""
    if key.kind is FILE:
        file, other = place / tomllib.loads(f"a = {GOOD[key.path]}")["a"], place / f"other-{key.path}"
        other.write_bytes(file.read_bytes())
        return str(other)
    return {
        "bucket": "other", "prefix": "other", "region": "us-east-1", "endpoint_url": "http://127.0.0.1:7",
        "expect_account": "444455556666", "policies.soak": "now", "policies.two_people": "1",
        "evidence.sign_key": "awskms:alias/other", "evidence.retain": "30d",
        "sites.primary.fence_role": "arn:aws:iam::111122223333:role/x",
        "sites.dr.fence_role": "arn:aws:iam::111122223333:role/y",
        "notifications.after": "120", "notifications.targets": "arn:aws:sns:eu-west-1:111122223333:other",
    }.get(key.path, "7" if key.path.startswith(("objectives.", "policies.")) else "other")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "name", "variable"),
    [
        ("failback", "region", "AWS_REGION"), ("health", "region", "AWS_DEFAULT_REGION"),
        ("failback", "endpoint_url", "AWS_ENDPOINT_URL_S3"), ("runs list", "endpoint_url", "AWS_ENDPOINT_URL"),
        ("validate", "kubeconfig", "KUBECONFIG_DR"), ("backup restore", "kubeconfig", "KUBECONFIG"),
        ("backup create", "kubeconfig", "KUBECONFIG_PRIMARY"),
    ],
)  # fmt: skip
def test_the_variables_of_other_tools_outrank_the_file_too(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: str, name: str, variable: str
) -> None:
    """Where drfsm read them before there was a file."""
    (place / "drfsm.toml").write_text(written(GOOD), encoding="utf-8")
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert sources(words, REST.get(words, ()))[1][name] is ParameterSource.DEFAULT


SITE_OPTIONS = [(words, name) for words, name, _ in BOUND if name in ("kubeconfig_dr", "kubeconfig_primary")]


@pytest.mark.parametrize(("words", "name"), SITE_OPTIONS)
def test_a_site_s_kubeconfig_is_taken_from_the_variable_that_other_tools_have(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: str, name: str
) -> None:
    """By every command that has the option: it outranks the file, and drfsm's own variable outranks it."""
    (place / "drfsm.toml").write_text(written(GOOD), encoding="utf-8")
    for variable, value in ((name.upper(), "theirs.yaml"), (f"DRFSM_{name.upper()}", "ours.yaml")):
        monkeypatch.setenv(variable, value)
        context, where = sources(words, REST.get(words, ()))
        assert (context.params[name], where[name]) == (value, ParameterSource.ENVIRONMENT)


def test_every_command_with_a_site_s_kubeconfig_reads_its_variables() -> None:
    """But a drill, whose site is typed; and a verb on a run, which has recorded its kubeconfigs."""
    having = {(words, p.name or "") for words, command in LEAVES.items() for p in command.params}
    having = {(words, name) for words, name in having if name in ("kubeconfig_dr", "kubeconfig_primary")}
    others = {words for words, _ in having - {*SITE_OPTIONS} if words.split()[0] not in ON_A_RUN}
    assert others == {"drill", "plan drill"}
    assert {"failback", "promote", "plan failback", "plan promote", "doctor", "dashboard serve"} <= {
        words for words, _ in SITE_OPTIONS
    }


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ("drill", ("--backup-uri", "s3://other/p/backups/b")),
        ("promote", ("--validation-receipt", "r.json")),
        ("drill", ("--receipt-dir", "earlier")),
        ("plan drill", ("--backup-uri", "s3://other/p/backups/b")),
        ("plan drill", ("--receipt-dir", "earlier")),
        ("plan promote", ("--validation-receipt", "r.json")),
    ],
)
def test_what_is_typed_says_more_closely_what_the_file_would_fill(
    place: Path, words: str, typed: tuple[str, str]
) -> None:
    """A backup's address, a receipt, an earlier drill: each names its bucket and its prefix."""
    (place / "drfsm.toml").write_text(written(GOOD), encoding="utf-8")
    (place / "earlier").mkdir()
    (place / "earlier" / "state_transitions.log").write_text("", encoding="utf-8")
    _, where = sources(words, typed)
    assert (where["bucket"], where["prefix"]) == (ParameterSource.DEFAULT, ParameterSource.DEFAULT)
    assert where["region"] is ParameterSource.DEFAULT_MAP


# --- as a command ---------------------------------------------------------------------------------------


def test_a_start_says_which_file_it_uses_and_is_refused_by_one_with_faults(place: Path, drfsm: Drfsm) -> None:
    """Before anything is made; a page of help needs no file."""
    file = place / "drfsm.toml"
    file.write_text('bucket = "results"\n[sites]\nprimary.kubeconfig = "primary.yaml"\n', encoding="utf-8")
    answer = drfsm("failback")
    assert answer.code == 2
    assert answer.err.startswith(f"configuration: {file}\n")
    assert "Missing options: --dr-run-id, --kubeconfig-dr." in answer.err
    file.write_text("buckt = 1\nprefix = 1\n", encoding="utf-8")
    refused = drfsm("health")
    assert refused.code == 2
    assert f"{file}: 2 faults; nothing was touched" in refused.err
    for offline in (("health", "--help"), ("machine", "show", "drill"), ("list",), ("explain", "4")):
        assert drfsm(*offline).code == 0


def test_a_context_that_is_no_more_current_stops_a_start(place: Path, drfsm: Drfsm) -> None:
    """`kubectl config use-context` in another window must not send a failback to another cluster."""
    (place / "drfsm.toml").write_text(written({**GOOD, "sites.dr.context": '"prod"'}), encoding="utf-8")
    answer = drfsm("failback", "--dr-run-id", RUN, "--confirm1", "", "--confirm2", "")
    assert answer.code == 2
    assert "sites.dr.context" in answer.err
    assert sources("pointers show")[1]["bucket"] is ParameterSource.DEFAULT_MAP  # it goes to no cluster


def test_whom_to_trust_is_said_by_a_named_file_only(
    place: Path, drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that was come upon, in a clone, say, must not make its author's keys trusted."""
    (place / "drfsm.toml").write_text(written(GOOD), encoding="utf-8")
    variables = [KEYS[path].variable for path in TRUST]

    def trusted() -> list[str | None]:
        take_back = config_defaults.trust("resume", config_defaults.Source())
        values = [os.environ.get(name) for name in variables]
        take_back()
        assert not any(name in os.environ for name in variables)
        return values

    assert trusted() == [None, None]
    assert "not used: not named by DRFSM_CONFIG" in drfsm("config", "show", "--origin").out
    assert drfsm("config", "check").code == 0
    monkeypatch.setenv("DRFSM_CONFIG", str(place / "drfsm.toml"))
    assert trusted() == [SHA, str(place / "signers")]
    (place / "drfsm.toml").write_text("a = 1", encoding="utf-8")
    assert trusted() == [None, None]
    assert "whom it trusts is not trusted here" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "says"), [("pointers", False), ("doctor", False), ("failback", True)])
def test_that_a_file_s_word_on_trust_counts_for_nothing_is_said_where_trust_matters(
    place: Path, capsys: pytest.CaptureFixture[str], command: str, *, says: bool
) -> None:
    """And not by every command that takes a bucket from a file that was come upon."""
    (place / "drfsm.toml").write_text(written(GOOD), encoding="utf-8")
    words = {"pointers": "pointers show"}.get(command, command)
    sources(words, REST.get(words, ()))
    err = capsys.readouterr().err
    assert f"configuration: {place / 'drfsm.toml'}" in err
    assert ("trust.allowed_signers not used" in err) is says


def test_show_says_where_each_value_comes_from(place: Path, drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment, the line of the file, or the default; and no secret of the environment."""
    (place / "drfsm.toml").write_text('# here\nbucket = "results"\nregion = "eu-west-1"\n', encoding="utf-8")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://ada:hunter2hunter2@store")
    shown = drfsm("config", "show", "--origin")
    assert f"{'bucket':<{COLUMN}}results [{place / 'drfsm.toml'}:2]" in shown.out
    assert re.search(r"region +us-east-1 \[\$AWS_REGION\]", shown.out)
    assert re.search(r"policies.approval_expires +\(24h\) \[default\]", shown.out)
    assert "hunter2" not in shown.out
    values = {entry["key"]: entry["source"] for entry in drfsm("config", "show", "-o", "json").json["values"]}
    assert (values["bucket"], values["region"], values["prefix"]) == ("file", "environment", "default")
    assert list(values) == list(KEYS)


def test_a_run_goes_on_with_what_it_recorded_and_the_difference_is_told(place: Path) -> None:
    """By the verb on the run, with both values; a file with faults tells nothing and stops nothing."""
    (place / "drfsm.toml").write_text(written(GOOD), encoding="utf-8")
    recorded = {"bucket": "results", "prefix": "jobs", "kubeconfig_dr": "/elsewhere/dr.yaml", "fence_dr_role": ""}
    lines = list(config_defaults.differences("failback", recorded))
    assert lines == [
        f"this run goes on with prefix jobs, as it recorded; {place / 'drfsm.toml'}:2 says jobs/a",
        (
            f"this run goes on with sites.dr.kubeconfig /elsewhere/dr.yaml, as it recorded; {place / 'drfsm.toml'}:18"
            f" says {place / 'dr.yaml'}"
        ),
    ]
    assert not list(config_defaults.differences("drill", {"kubeconfig_dr": "/elsewhere/dr.yaml"}))
    (place / "drfsm.toml").write_text("prefix = 1\nbucket = 2\n", encoding="utf-8")
    assert not list(config_defaults.differences("failback", recorded))


def test_no_option_of_a_verb_on_a_run_is_filled() -> None:
    """Whatever the file says."""
    assert not [words for words, _, _ in BOUND if words.partition(" ")[0] in ON_A_RUN]
    assert {"resume", "abort", "status", "approve", "watch", "metrics"} <= ON_A_RUN
    assert "bucket" in {parameter.name for parameter in LEAVES["watch"].params}  # which would else be the file's
