"""The keys of drfsm.toml: one table. What may stand there, what it means, and which option of which command it fills.

A key stands here only if something reads it: an unknown key is a fault, never silence. The JSON Schema for editors, the
checks (config_file.py), the values that options take (config_defaults.py) and the table of docs/config.md come from
this table. Holds no file and no value.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from drfsm.claims import is_name
from drfsm.cli.config_scope import ON_A_RUN, as_its_start

LONGEST_SECONDS = 3_162_240_000  # a century: more is a slip
_ARN = r"arn:[a-z0-9-]+:iam::\d{12}:(role|user)/[\w+=,.@/-]+"
_DURATION = r"(\d+(\.\d+)?[smhd])+"
_REGION = r"[a-z]{2}(-[a-z0-9]+)+"
_SELECTOR = r"[^\x00-\x1f\x7f]{1,500}"
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@frozen
class Kind:
    """What a value may be. ``words`` completes "must be ..."; ``fits`` is asked of a value of the right TOML type."""

    words: str
    schema: Mapping[str, Any]
    fits: Callable[[Any], bool]


def _text(words: str, pattern: str) -> Kind:
    whole = re.compile(pattern)
    fits: Callable[[Any], bool] = lambda value: isinstance(value, str) and bool(whole.fullmatch(value))  # noqa: E731
    return Kind(words, {"type": "string", "pattern": f"^{pattern}$"}, fits)


def _name(grammar: str, words: str) -> Kind:
    return Kind(words, {"type": "string", "minLength": 1}, lambda value: is_name(grammar, value))


def seconds_of(value: object) -> float:
    """Return a duration in seconds: a number of them, or "90s", "5m", "1h30m", "2d"; 0 for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 < value <= LONGEST_SECONDS else 0.0
    if not isinstance(value, str) or len(value) > 40 or not re.fullmatch(_DURATION, value):  # noqa: PLR2004
        return 0.0
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhd])", value))
    return seconds if seconds <= LONGEST_SECONDS else 0.0


FILE = Kind(
    "a path (relative to this file)",
    {"type": "string", "minLength": 1},
    lambda value: isinstance(value, str) and value.isprintable() and bool(value.strip()),
)
_LONGEST_APPROVAL = 8784 * 3600


def _is_target(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(_TARGET, value))


DURATION = Kind(
    'a duration above 0: "90s", "5m", "1h30m", "30d", or a number of seconds',
    {"anyOf": [{"type": "string", "pattern": f"^{_DURATION}$"}, {"type": "number", "exclusiveMinimum": 0}]},
    lambda value: seconds_of(value) > 0,
)
_COUNT = Kind(
    "a whole number from 1 to 9",
    {"type": "integer", "minimum": 1, "maximum": 9},
    lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 9,  # noqa: PLR2004
)
_APPROVAL_AGE = Kind(
    "a duration above 0 and at most 366d", DURATION.schema, lambda value: 0 < seconds_of(value) <= _LONGEST_APPROVAL
)
_TARGET = r"(arn:[a-z0-9-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]{1,256}|\$[A-Z][A-Z0-9_]{0,100})"
TARGETS = Kind(
    "a list: ARNs of SNS topics; $NAME, a variable of the environment that holds an address, which is a secret",
    {"type": "array", "items": {"type": "string", "pattern": f"^{_TARGET}$"}},
    lambda value: isinstance(value, list) and all(_is_target(item) for item in value),
)
_BOOLEAN = Kind("true or false", {"type": "boolean"}, lambda value: isinstance(value, bool))
_KUBERNETES = _name("Kubernetes name", "a name of Kubernetes")
DIGESTS = Kind(
    "a list of SHA-256 digests, 64 hex digits each",
    {"type": "array", "items": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
    lambda value: isinstance(value, list) and all(is_name("sha256", item) for item in value),
)


@frozen
class Key:
    """One key. ``path``: with its tables, dotted. ``variable`` of the environment outranks it; so do ``ambient`` ones.

    ``usual``, in words: what holds where nobody sets it. ``to_option`` turns its value into what the option takes.
    """

    path: str
    kind: Kind
    about: str
    variable: str
    usual: str = ""
    option: str = ""  # the parameter of every command that has it, but for EXCEPTIONS
    to_option: Callable[[Any], Any] = lambda value: value
    ambient: tuple[str, ...] = ()
    takes_ambient: bool = False  # the option itself reads them: nothing else hands their values on


def _seconds_text(value: object) -> str:
    return f"{seconds_of(value):.3f}".rstrip("0").rstrip(".")


def _hours(value: object) -> float:
    return seconds_of(value) / 3600


def _site(site: str, words: str) -> tuple[Key, ...]:
    upper = site.upper()
    return (
        Key(f"sites.{site}.kubeconfig", FILE, f"Kubeconfig of {words}.", f"DRFSM_KUBECONFIG_{upper}",
            option=f"kubeconfig_{site}", ambient=(f"KUBECONFIG_{upper}",), takes_ambient=True),
        Key(f"sites.{site}.context", _text("a context's name", r"[^\x00-\x1f\x7f]{1,253}"),
            "The kubeconfig's current context must be this one: else a start is refused.", "",
            usual="whichever is current"),
        Key(f"sites.{site}.fence_role", _text("the ARN of an IAM role or user", _ARN),
            f"IAM role with which {words} publishes: the one that a fence denies.", f"DRFSM_FENCE_ROLE_{upper}",
            option=f"fence_{site}_role"),
    )  # fmt: skip


def _approvals(procedure: str) -> tuple[Key, ...]:
    """Return the keys of a procedure's policy. No variable outranks them: a policy is what the file says."""
    table = f"policies.{procedure}"
    return (
        Key(f"{table}.approvals", _COUNT, f"How many persons must approve a {procedure}.", "",
            "1" if procedure == "promote" else "none is needed"),
        Key(f"{table}.signed", _BOOLEAN, "Each must be signed by a key of trust.allowed_signers.", "", "false"),
        Key(f"{table}.distinct", _BOOLEAN, f"The person who starts the {procedure} can't be one of them.", "",
            "as policies.two_people"),
        Key(f"{table}.expires", _APPROVAL_AGE, f"How old an approval may be when the {procedure} starts.", "",
            "as policies.approval_expires"),
    )  # fmt: skip


KEYS: Mapping[str, Key] = {
    key.path: key
    for key in (
        Key("bucket", _name("bucket", "the name of a bucket"), "Bucket to which both sites publish.", "DRFSM_BUCKET",
            option="bucket"),
        Key("prefix", Kind("a prefix: letters, digits, '.', '_', '=' and '-', between slashes",
                           {"type": "string", "minLength": 1},
                           lambda value: isinstance(value, str) and is_name("prefix", value.strip("/"))),
            "Prefix in the bucket below which both sites publish.", "DRFSM_PREFIX", "the workload's", "prefix"),
        Key("region", _text("a region, as eu-west-1", _REGION), "Region of the cloud.", "DRFSM_REGION",
            "as AWS tools find it", "region", ambient=("AWS_REGION", "AWS_DEFAULT_REGION")),
        Key("endpoint_url", _text("an address: http(s)://host[:port], without a user and a password",
                                  r"https?://[^\s@]{1,500}"),
            "Endpoint of all cloud services.", "DRFSM_ENDPOINT_URL", "as AWS tools find it", "endpoint_url",
            ambient=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
        Key("expect_account", _name("account", "a cloud account's 12 digits, in quotes"),
            "Cloud account that everything must happen in.", "EXPECTED_ACCOUNT_ID", option="expect_account"),
        Key("workload", FILE, "Contract of the workload (docs/workload.md).", "DRFSM_WORKLOAD",
            "the one that drfsm ships", "workload"),
        Key("comparison_profile", FILE, "Which differences of two runs matter (docs/comparison.md).",
            "DRFSM_COMPARISON_PROFILE", "the workload's", "comparison_profile"),
        Key("candidate", _name("candidate", "the name of a candidate"), "Candidate whose runs and pointers are meant.",
            "DRFSM_CANDIDATE", "the workload's", "candidate"),
        Key("provider", _name("provider", "the name of a provider"), "Provider of the pair that the pointers name.",
            "DRFSM_PROVIDER", "the workload's", "provider"),
        Key("profile", _name("profile", "the name of a profile"), "Profile of that pair.", "DRFSM_PROFILE",
            "the workload's", "profile"),
        Key("namespace", _KUBERNETES, "Namespace of the workload, on both sites.", "DRFSM_NAMESPACE",
            "the workload's", "namespace"),
        Key("configmap", _KUBERNETES, "ConfigMap that switches publishing on and off.", "DRFSM_CONFIGMAP",
            "the workload's", "configmap"),
        Key("cronjob", _KUBERNETES, "CronJob that publishes.", "DRFSM_CRONJOB", "the only one", "cronjob"),
        Key("cronjob_selector", _text("a label selector, as app=batch", _SELECTOR),
            "Label selector of the CronJobs that are suspended.", "DRFSM_CRONJOB_SELECTOR", "all CronJobs",
            "cronjob_selector"),
        *_site("primary", "the primary"),
        *_site("dr", "DR"),
        Key("objectives.recovery_time", DURATION, "Time until a drilled site must be validated.",
            "DRFSM_RECOVERY_TIME_OBJECTIVE", "none", "recovery_time_objective", _seconds_text),
        Key("objectives.recovery_point", DURATION, "How old a backup may be.",
            "DRFSM_RECOVERY_POINT_OBJECTIVE", "any age", "recovery_point_objective", _seconds_text),
        Key("objectives.drill_interval", DURATION, "How long a green drill proves readiness (`drfsm doctor`).",
            "DRFSM_DRILL_INTERVAL", "without end", "drill_interval", _seconds_text),
        Key("objectives.freshness", DURATION, "How long ago the published run may have ended (`drfsm health`).",
            "DRFSM_MAX_AGE", "6h", "max_age", _hours),
        Key("policies.two_people", _BOOLEAN, "Another person than the one who starts a run must approve it.",
            "DRFSM_TWO_PEOPLE", "false", "two_people"),
        Key("policies.approval_expires",
            _APPROVAL_AGE, "How long an approval is valid.", "DRFSM_APPROVAL_EXPIRES", "24h", "approval_expires",
            _hours),
        Key("policies.soak", Kind('"now" or "next"; that there is none is said with a reason, by --soak none',
                                  {"enum": ["now", "next"]}, lambda value: value in ("now", "next")),
            "Batch run of the primary that a failback waits for.", "DRFSM_SOAK", "now", "soak"),
        *_approvals("failback"),
        *_approvals("drill"),
        *_approvals("promote")[:2],  # its approval has two_people and approval_expires
        Key("notifications.targets", TARGETS, "Whom to notify of a run, beside --notify.", "DRFSM_NOTIFY", "nobody",
            "notify"),
        Key("notifications.after", DURATION, "Notify also whenever nobody could publish for so long.",
            "DRFSM_NOTIFY_AFTER", "15m", "notify_after", _seconds_text),
        Key("evidence.sign_key", _text("an absolute path of a key, or awskms:alias/NAME",
                                       r"(/|~/|awskms:|arn:aws)[^\x00-\x1f\x7f]{1,500}"),
            "Key that signs the seals of bundles (docs/sealing.md).", "DRFSM_SIGN_KEY", "none: unsigned", "sign_key"),
        Key("evidence.retain", _text("a number of days, weeks, months or years: 90d, 12w, 18m, 7y",
                                     r"[1-9][0-9]{0,5}[dwmy]"),
            "How long nobody can delete the checkpoints, where the bucket has Object Lock.", "DRFSM_RETAIN",
            "they can be deleted", "retain"),
        Key("trust.machines", DIGESTS, "Digests of machines that are trusted beside those that drfsm ships.",
            "DRFSM_TRUST_MACHINES", "none", to_option=" ".join),
        Key("trust.allowed_signers", FILE, "Keys that are trusted, as ssh-keygen(1) describes.",
            "DRFSM_ALLOWED_SIGNERS", "none"),
    )
}  # fmt: skip
"""Dotted path -> the key, in the order in which they are shown."""

PROCEDURES_WITH_POLICY = ("failback", "drill", "promote")
ADDRESSES = "notifications.targets"
"""The key whose variable holds secrets: what it says is never shown."""
TRUST = ("trust.machines", "trust.allowed_signers")
"""Keys that say who is trusted: they count only in a file that DRFSM_CONFIG names, never in one that was come upon."""

CARRIED = ("evidence.sign_key", "evidence.retain")
"""Keys of a named file that verbs on a run take, too: a run that goes on is sealed as it was when it began."""

EXCEPTIONS: Mapping[tuple[str, str], str] = {
    # (command, parameter) -> the key that fills it; "": none does.
    # A drill's site is named for each drill: by default it would else restore a backup over the DR site that stands by.
    ("drill", "kubeconfig_primary"): "",
    ("drill", "fence_primary_role"): "",  # there, the role alone asks for the fence
    ("drill", "fence_dr_role"): "",
    ("validate", "kubeconfig"): "sites.dr.kubeconfig",
    ("backup create", "kubeconfig"): "sites.primary.kubeconfig",
    ("backup restore", "kubeconfig"): "sites.dr.kubeconfig",
    ("control-plane publish", "kubeconfig"): "sites.primary.kubeconfig",
}

YIELDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # command -> {an option that is typed: the options that what it names fills, so that the file doesn't}
    "drill": {"backup_uri": ("bucket", "prefix")},
    "promote": {"validation_receipt": ("bucket", "prefix", "namespace", "candidate", "provider", "profile")},
}


def key_of(words: str, parameter: str) -> Key | None:
    """Return the key that fills a command's parameter, None where none does. ``words``: those that lead to it."""
    if words.partition(" ")[0] in ON_A_RUN:
        return None
    if (path := EXCEPTIONS.get((as_its_start(words), parameter))) is not None:
        return KEYS.get(path)
    return next((key for key in KEYS.values() if key.option == parameter), None)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors."""
    root: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "drfsm.toml",
        "description": "Configuration of drfsm (docs/config.md). It holds no secrets.",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    for path, key in KEYS.items():
        *tables, last = path.split(".")
        table = root
        for name in tables:
            empty = {"type": "object", "additionalProperties": False, "properties": {}}
            table = table["properties"].setdefault(name, empty)
        usual = f" Default: {key.usual}." if key.usual else ""
        table["properties"][last] = {"description": f"{key.about}{usual}", **key.kind.schema}
    return root


def page_table() -> str:
    """Return the table of docs/config.md."""
    lines = ["| key | what it says | must be | else | variable |", "|---|---|---|---|---|"]
    for path, key in KEYS.items():
        must = key.kind.words.replace("|", "\\|")
        variable = f"`{key.variable}`" if key.variable else ""
        lines.append(f"| `{path}` | {key.about} | {must} | {key.usual} | {variable} |")
    return "\n".join(lines) + "\n"
