"""A pull Secret is judged by its age before anything needs it, and gets a new token without losing another entry."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.kube import KubeCluster
from drfsm.dr.sites import pull_secret
from drfsm.errors import ActionFailed, Conflict
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.world import PullToken

REGISTRY = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
IMAGE = f"{REGISTRY}/jobintel@sha256:{'a' * 64}"
NAMESPACE = "jobintel"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """One cluster with the workload's namespace."""
    with EmulatedCluster("primary", tmp_path_factory.mktemp("primary"), {}) as started:
        started.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield started


@pytest.fixture
def site(cluster: EmulatedCluster) -> Iterator[KubeCluster]:
    """Return the operator's way to it; every pull Secret is gone afterwards."""
    seen_by_us = KubeCluster("primary", Path(cluster.kubeconfig))
    yield seen_by_us
    for secret in seen_by_us.list("Secret", NAMESPACE):
        seen_by_us.delete("Secret", NAMESPACE, secret["metadata"]["name"])


def entry(password: str) -> dict[str, str]:
    """Return a registry's entry with this password."""
    return {"auth": base64.b64encode(f"AWS:{password}".encode()).decode()}


def token(expires: datetime) -> str:
    """Return a token as ECR gives it: it says itself until when it lasts."""
    payload = {"payload": "…", "version": "2", "type": "DATA_KEY", "expiration": int(expires.timestamp())}
    return base64.b64encode(json.dumps(payload).encode()).decode()


def put(site: KubeCluster, auths: Mapping[str, Any], name: str = "ecr-pull", **more: Any) -> None:
    """Create a pull Secret with these entries, as kubectl does."""
    body = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    metadata = {"name": name, "namespace": NAMESPACE, **more}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": pull_secret.TYPE}
    site.create({**secret, "data": {pull_secret.KEY: body}})


class Tokens:
    """A registry that gives tokens."""

    def token(self, registry: str) -> PullToken:
        """Return one that lasts twelve hours."""
        assert registry == REGISTRY
        return PullToken("AWS", "fresh-token", (datetime.now(UTC) + timedelta(hours=12)).isoformat(timespec="seconds"))


NOW = datetime.now(UTC)
OLD, NEW = token(NOW - timedelta(minutes=1)), token(NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("auths", "verdict", "words"),
    [
        pytest.param({REGISTRY: entry(NEW)}, "usable", "", id="a token that lasts"),
        pytest.param({REGISTRY: entry(OLD)}, "expired", "expired at", id="a token that has expired"),
        pytest.param({f"https://{REGISTRY}/v2": entry(OLD)}, "expired", "expired at", id="as a URL"),
        pytest.param({"*.dkr.ecr.us-east-1.amazonaws.com": entry(OLD)}, "expired", "expired at", id="as a pattern"),
        pytest.param({REGISTRY: {"username": "AWS", "password": OLD}}, "expired", "expired at", id="in two fields"),
        pytest.param({REGISTRY: entry("no-date-in-it")}, "usable", "", id="an unknown token, written just now"),
        pytest.param({"ghcr.io": entry("x")}, "uncovered", f"has an entry for {REGISTRY}", id="another registry's"),
        pytest.param({"amazonaws.com": entry(OLD)}, "uncovered", "has an entry for", id="a shorter host is another"),
    ],
)
def test_the_entry_of_the_images_registry_decides(
    site: KubeCluster, auths: dict[str, Any], verdict: str, words: str
) -> None:
    """What pulling would meet is known by the entry for this registry, and told without the token."""
    put(site, auths)
    seen = pull_secret.observe(site, NAMESPACE, ["ecr-pull"], IMAGE)
    assert pull_secret.judge(seen) == verdict
    assert words in "; ".join(pull_secret.at_fault(seen))
    assert bool(pull_secret.at_fault(seen)) == bool(words)
    said = json.dumps(seen)
    assert not any(secret in said for secret in (OLD, NEW, "no-date-in-it"))


def test_a_token_that_says_nothing_lasts_twelve_hours_from_the_last_write(site: KubeCluster) -> None:
    """Its age is the Secret's: written just now it is good, and in thirteen hours it is not."""
    put(site, {REGISTRY: entry("no-date-in-it")})
    later = datetime.now(UTC) + timedelta(hours=13)
    seen = pull_secret.observe(site, NAMESPACE, ["ecr-pull"], IMAGE, later)
    assert pull_secret.judge(seen) == "expired"
    assert seen["secrets"][0]["age_seconds"] == pytest.approx(13 * 3600, abs=60)


def test_a_named_secret_that_is_not_there_is_missing_and_none_named_is_the_nodes_affair(site: KubeCluster) -> None:
    """A pod that names no Secret pulls by its node's identity, and nothing is wrong with that."""
    assert pull_secret.judge(pull_secret.observe(site, NAMESPACE, [], IMAGE)) == "usable"
    seen = pull_secret.observe(site, NAMESPACE, ["ecr-pull"], IMAGE)
    assert pull_secret.judge(seen) == "missing"
    assert "does not exist" in pull_secret.at_fault(seen)[0]


def test_a_secret_of_no_such_content_is_missing_and_its_content_is_not_told(site: KubeCluster) -> None:
    """What can't be read pulls nothing; the words hold nothing of what it holds."""
    metadata = {"name": "ecr-pull", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"}
    site.create({**secret, "data": {pull_secret.KEY: base64.b64encode(b"hunter2").decode()}})
    seen = pull_secret.observe(site, NAMESPACE, ["ecr-pull"], IMAGE)
    assert pull_secret.judge(seen) == "missing"
    assert "hunter2" not in json.dumps(seen) + pull_secret.at_fault(seen)[0]


def test_a_node_pulls_with_whichever_secret_and_entry_it_can_use(site: KubeCluster) -> None:
    """A missing Secret beside a good one, an older form, an expired entry before a good one: nothing is at fault."""
    put(site, {"*.dkr.ecr.us-east-1.amazonaws.com": entry(OLD), REGISTRY: entry(NEW)})
    older = base64.b64encode(json.dumps({REGISTRY: entry(NEW)}).encode()).decode()
    metadata = {"name": "older", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": pull_secret.OLDER_TYPE}
    site.create({**secret, "data": {pull_secret.OLDER_KEY: older}})
    for names in (["ecr-pull"], ["nowhere", "ecr-pull"], ["older"]):
        seen = pull_secret.observe(site, NAMESPACE, names, IMAGE)
        assert (pull_secret.judge(seen), pull_secret.at_fault(seen)) == ("usable", []), names


class Denied(Tokens):
    """A registry's service that gives us none."""

    def token(self, registry: str) -> PullToken:
        """Refuse."""
        raise ActionFailed(f"no token for {registry}: AccessDeniedException", hint="ask for ecr:GetAuthorizationToken")


@pytest.mark.parametrize(
    ("image", "names", "tokens", "words"),
    [
        (IMAGE, ["ecr-pull"], Tokens(), ""),
        (IMAGE, ["new"], Tokens(), ""),  # it is created
        (IMAGE, ["older", "ecr-pull"], Tokens(), ""),
        (IMAGE, [], Tokens(), "no pull Secret is named"),
        (IMAGE, ["new", "other"], Tokens(), "which pull Secret"),
        (IMAGE, ["opaque"], Tokens(), "is of type Opaque"),
        (IMAGE, ["ecr-pull"], Denied(), "AccessDenied"),
        ("registry.example/jobintel:1", ["ecr-pull"], Tokens(), "no registry of AWS"),
    ],
)
def test_a_refresh_that_can_do_nothing_is_known_beforehand(
    site: KubeCluster, image: str, names: list[str], tokens: Tokens, words: str
) -> None:
    """For everything that a refresh is refused for: the same words, nothing is written, and else it succeeds."""
    put(site, {REGISTRY: entry(OLD)})
    metadata = {"name": "opaque", "namespace": NAMESPACE}
    site.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": {}})
    before = site.list("Secret", NAMESPACE)
    obstacle = pull_secret.obstacle(site, NAMESPACE, names, image, tokens)
    assert site.list("Secret", NAMESPACE) == before
    assert words in obstacle
    assert bool(obstacle) == bool(words)
    if words:
        with pytest.raises(ActionFailed, match=words):
            pull_secret.refresh(site, NAMESPACE, names, image, tokens)
    else:
        assert pull_secret.refresh(site, NAMESPACE, names, image, tokens)["registry"] == REGISTRY


EXPIRED = {"name": "ecr-pull", "is": "there", "covers": True, "expired": True, "expires_at": "yesterday"}
OTHER = {"name": "other", "is": "there", "covers": False}
MISSING = {"name": "ecr-pull", "is": "not there"}


@pytest.mark.parametrize(
    ("secrets", "ecr", "words"),
    [
        pytest.param([EXPIRED, OTHER], True, [], id="an expired token is replaced"),
        pytest.param([MISSING], True, [], id="the only Secret is created"),
        pytest.param([EXPIRED, {**MISSING, "name": "other"}], True, [], id="beside one that is missing"),
        pytest.param([{**EXPIRED, "name": "a"}, EXPIRED], True, ["a expired", "ecr-pull expired"], id="unclear which"),
        pytest.param([MISSING], False, ["ecr-pull does not exist"], id="no registry of AWS"),
        pytest.param([{**MISSING, "is": "unreadable", "why": "Secret x"}], True, ["pull Secret x"], id="unreadable"),
    ],
)
def test_what_a_refresh_will_mend_is_no_fault_beforehand(
    secrets: list[dict[str, Any]], ecr: bool, words: list[str]
) -> None:
    """A run that renews the token is not refused for the one that there is; what refresh can't mend still counts."""
    seen = pull_secret.left_after_refresh({"registry": REGISTRY, "ecr": ecr, "secrets": secrets})
    faults = pull_secret.at_fault(seen)
    assert len(faults) == len(words)
    assert all(word in fault for word, fault in zip(words, faults, strict=True))


def test_pod_and_service_account_name_the_secrets(site: KubeCluster) -> None:
    """Both are looked at; a name that both have counts once."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "jobintel", "namespace": NAMESPACE}}
    site.create({**account, "imagePullSecrets": [{"name": "ecr-pull"}, {"name": "other"}]})
    pod = {"serviceAccountName": "jobintel", "imagePullSecrets": [{"name": "ecr-pull"}]}
    assert pull_secret.secrets_of(site, NAMESPACE, pod) == ["ecr-pull", "other"]


@pytest.mark.parametrize("there", [True, False])
def test_a_refresh_replaces_one_entry_and_records_no_token(site: KubeCluster, *, there: bool) -> None:
    """The registry's entry is new, every other stays; what is returned for the record names digest and end only."""
    if there:
        put(site, {f"https://{REGISTRY}": entry(OLD), "ghcr.io": entry("other")}, labels={"owner": "us"})
    recorded = pull_secret.refresh(site, NAMESPACE, ["ecr-pull"], IMAGE, Tokens())
    secret = site.get("Secret", NAMESPACE, "ecr-pull")
    assert secret is not None
    auths = json.loads(base64.b64decode(secret["data"][pull_secret.KEY]))["auths"]
    assert auths.pop(REGISTRY) == entry("fresh-token")
    assert auths == ({"ghcr.io": entry("other")} if there else {})
    assert (secret["metadata"].get("labels") or {}) == ({"owner": "us"} if there else {})
    seen = pull_secret.observe(site, NAMESPACE, ["ecr-pull"], IMAGE)
    assert pull_secret.judge(seen) == "usable"
    assert (seen["secrets"][0]["sha256"], seen["secrets"][0]["expires_at"]) == (
        recorded["sha256"],
        recorded["expires_at"],
    )
    assert "fresh-token" not in json.dumps([recorded, seen]) + repr(Tokens().token(REGISTRY))
    assert entry("fresh-token")["auth"] not in json.dumps([recorded, seen])


def test_what_drfsm_noted_counts_only_for_what_it_wrote(site: KubeCluster) -> None:
    """Somebody who puts an expired token in afterwards is not covered by the note of the one before."""
    pull_secret.refresh(site, NAMESPACE, ["ecr-pull"], IMAGE, Tokens())
    body = base64.b64encode(json.dumps({"auths": {REGISTRY: entry(OLD)}}).encode()).decode()
    site.patch("Secret", NAMESPACE, "ecr-pull", {"data": {pull_secret.KEY: body}})
    assert pull_secret.judge(pull_secret.observe(site, NAMESPACE, ["ecr-pull"], IMAGE)) == "expired"


@pytest.mark.parametrize(
    ("names", "image", "words"),
    [
        ([], IMAGE, "no pull Secret is named"),
        (["a", "b"], IMAGE, "which pull Secret"),
        (["ecr-pull"], "ghcr.io/them/it:1", "ghcr.io is no registry of AWS"),
        (["ecr-pull"], "jobintel:1", "docker.io is no registry of AWS"),
    ],
)
def test_a_refresh_that_is_not_possible_says_why_and_writes_nothing(
    site: KubeCluster, names: list[str], image: str, words: str
) -> None:
    """It is final: another attempt would end the same."""
    with pytest.raises(ActionFailed, match=words) as refused:
        pull_secret.refresh(site, NAMESPACE, names, image, Tokens())
    assert refused.value.final
    assert not site.list("Secret", NAMESPACE)


def test_a_secret_that_somebody_writes_meanwhile_is_left_to_him(site: KubeCluster) -> None:
    """The write is conditional on the version that was read."""
    put(site, {REGISTRY: entry(OLD)})

    class Slow(Tokens):
        def token(self, registry: str) -> PullToken:
            site.patch("Secret", NAMESPACE, "ecr-pull", {"metadata": {"labels": {"touched": "yes"}}})
            return super().token(registry)

    with pytest.raises(Conflict):
        pull_secret.refresh(site, NAMESPACE, ["ecr-pull"], IMAGE, Slow())
    assert pull_secret.judge(pull_secret.observe(site, NAMESPACE, ["ecr-pull"], IMAGE)) == "expired"
