"""What `drfsm doctor` can find: one table of stable codes. `drfsm explain CODE` and docs/doctor.md show it.

A finding of the preflight has the name of its guard as its code: machines/*.yaml explain those. A code is never used
again for something else.
"""

from collections.abc import Mapping
from typing import NamedTuple

ERROR, WARNING, UNKNOWN, ACCEPTED = "error", "warning", "unknown", "accepted"
MEND = "    mend: "
"""How a line with a finding's mend begins."""
SEVERITIES = (ERROR, UNKNOWN, WARNING, ACCEPTED)
"""The worst first. An ``accepted`` finding is told, and counts for nothing."""


class Code(NamedTuple):
    """What a finding means, how much it weighs, and what to do."""

    severity: str
    means: str
    to_do: str


CODES: Mapping[str, Code] = {
    # this machine
    "clock_differs": Code(
        WARNING,
        "The clock of this machine and the store's Date differ by more than 5 seconds. Above 5 minutes it is an error:"
        " signed requests are refused from 15 minutes on, and the journal's times mislead",
        "set the clock, and let NTP keep it",
    ),
    "credentials_end_soon": Code(
        WARNING,
        "The cloud credentials of this machine end within four hours, which a procedure may last",
        "renew them: `aws sso login`, or a new session",
    ),
    "disk_is_short": Code(
        ERROR,
        "The disk that holds drfsm's home has less than 256 MiB left (below 1 GiB it is a warning). A run that can't"
        " write its journal stops",
        "make room, or set DRFSM_HOME to another disk",
    ),
    "tool_is_missing": Code(
        WARNING,
        "A program that drfsm's messages name, or that this machine's settings need, is not on the PATH",
        "install it",
    ),
    # the store
    "not_read": Code(
        UNKNOWN,
        "Something could not be read, so nobody knows whether it is in order. It is never taken for ready",
        "do what the finding says (network, credentials, permissions), then look again",
    ),
    "store_ignores_conditions": Code(
        ERROR,
        "The store does not honour conditional writes: two runs could hold the lease at once, and every procedure that"
        " moves pointers is refused",
        "use a store that honours If-Match and If-None-Match (docs/stores.md)",
    ),
    "backup_is_missing": Code(
        ERROR, "There is no backup below the prefix, so there is nothing to recover from", "`drfsm backup create`"
    ),
    "backup_is_damaged": Code(
        ERROR, "The newest backup can't be read as one", "`drfsm backup verify` it, then `drfsm backup create`"
    ),
    "backup_is_too_old": Code(
        ERROR,
        "The newest whole backup is older than the recovery point objective: a recovery now would lose more than was"
        " agreed",
        "`drfsm backup create`, and look at what makes it regularly",
    ),
    "publication_is_wrong": Code(
        ERROR, "What consumers read is stale or not correct", "`drfsm health` says which check fails"
    ),
    "lease_is_abandoned": Code(
        WARNING,
        "The lease names a run that has ended, or never began: its process died before it let go. The next run takes"
        " the lease over by itself",
        "nothing; if it stays, find out which process dies: `drfsm status RUN`",
    ),
    "lease_is_held": Code(
        WARNING,
        "A run holds the lease: as long as it does, no other procedure starts",
        "`drfsm status RUN`, then `drfsm resume` or `drfsm abort`; `--take-over` only if its process is dead",
    ),
    "run_is_open": Code(
        WARNING,
        "A run has not ended. What it froze stays frozen",
        "`drfsm status RUN`, then `drfsm resume` or `drfsm abort`",
    ),
    "runner_is_nobodys": Code(
        ERROR,
        "A machine carries the tags of DR, and neither an open drill nor DR as the owner of the pointers explains it."
        " It costs money, and no drill starts beside it",
        "the drill's bundle takes it down: `drfsm drill --receipt-dir BUNDLE --start-at teardown`; without a bundle,"
        " find out who brought it up before you stop it",
    ),
    "fence_is_not_prepared": Code(
        WARNING,
        "It is not known with which IAM role each site publishes: a primary that is lost could not be fenced. That"
        " drfsm may write the bucket's policy can't be asked without writing it",
        "set sites.primary.fence_role and sites.dr.fence_role in drfsm.toml (docs/fences.md)",
    ),
    # the sites
    "site_is_not_named": Code(
        UNKNOWN, "No kubeconfig is named for a site, so nothing is known of it", "--kubeconfig-dr, --kubeconfig-primary"
    ),
    "site_is_taken_down": Code(
        ACCEPTED,
        "The last failback terminated DR's machines and saw them gone, so DR can't be asked. This is no fault",
        "nothing; the next recovery begins with `drfsm drill`, which brings a site up",
    ),
    "schedule_has_no_deadline": Code(
        WARNING,
        "A CronJob has no startingDeadlineSeconds: when a procedure resumes it, Kubernetes starts a run that was missed"
        " meanwhile at once, however long ago it was due",
        "set spec.startingDeadlineSeconds, 600 for example",
    ),
    "control_plane_differs": Code(
        ERROR,
        "A site's configuration is not the published control plane: with another one, it would publish other results",
        "`drfsm control-plane verify` says how they differ; then publish it, or apply it",
    ),
    # the endpoints
    "endpoint_is_astray": Code(
        ERROR,
        "A name leads to neither site, to both, or to the site that does not own the pointers: its users see other"
        " results than those that are canonical, and a procedure refuses to move it",
        "`drfsm dashboard serve` shows where it leads; find out who changes its records, and restore them",
    ),
    "endpoint_ttl_is_high": Code(
        WARNING,
        "The records of a name stay in caches for longer than the contract's `ttl`. A promote can't lower a TTL in"
        " time: for so long users would be led to the lost site",
        "lower the TTL of the records to the contract's",
    ),
    "endpoint_does_not_serve": Code(
        ERROR,
        "A site fails the contract's checks at its own address: users can't be led there, or are served badly now",
        "mend the site's servers, or the contract's checks",
    ),
    "endpoint_resolver_differs": Code(
        WARNING,
        "A resolver that the contract names says another address than the servers of the zone: it has an old record in"
        " its cache, or does not heed TTLs",
        "wait until its cache has passed; if that lasts, look at the resolver: no procedure can call it back",
    ),
    "active_site_is_wrong": Code(
        ERROR,
        "The active-site document names another site than the owner of the pointers, closes its writes, or is not"
        " there: servers refuse writes by it",
        "`drfsm endpoints show`; a run that is open goes on with `drfsm resume`; where there is no document: `drfsm"
        " endpoints declare`",
    ),
    # what the last drill proved
    "no_drill_proves_it": Code(
        ERROR,
        "No drill is known that restored a backup, validated the site and ended complete: nothing proves that a"
        " recovery works",
        "`drfsm drill`",
    ),
    "drill_has_failed": Code(
        ERROR,
        "A drill ended otherwise than complete since the last green one: whatever stopped it may stop a recovery",
        "`drfsm replay RUN` says what stopped it; mend that, then `drfsm drill`",
    ),
    "drill_is_too_long_ago": Code(
        ERROR,
        "The last green drill is older than the drill interval: what it proved has ended by date",
        "`drfsm drill`",
    ),
    "drill_is_only_claimed": Code(
        WARNING,
        "This machine did not write the records of the last green drill, and no trusted key signed them: whoever can"
        " write to the bucket may have written them",
        "let it be signed (DRFSM_SIGNING_KEY) and trust the key (DRFSM_ALLOWED_SIGNERS), or drill from this machine",
    ),
    "proof_of_machine": Code(
        ERROR, "The drill's declaration is not the one that drfsm would follow now", "`drfsm drill`, to prove this one"
    ),
    "proof_of_version": Code(
        WARNING, "Another version of drfsm drilled", "`drfsm drill` with this version, or use the one that drilled"
    ),
    "proof_of_workload": Code(
        ERROR, "The workload's contract is not the one that was drilled", "`drfsm drill`, or name the right --workload"
    ),
    "proof_of_image": Code(
        ERROR, "The CronJob runs another image than the one that was validated", "`drfsm drill`, to validate this image"
    ),
    "proof_of_control_plane": Code(
        ERROR, "The published control plane is another bundle than the one that was drilled", "`drfsm drill`"
    ),
    "proof_of_backup": Code(
        ERROR,
        "The backup that was restored is gone, or is another one now. That a newer one restores is not proven by it",
        "`drfsm drill` with a backup that there is",
    ),
    "proof_of_settings": Code(
        ERROR, "A Secret or ConfigMap with which the validated Job ran is not there any more", "create it, then drill"
    ),
    "proof_of_account": Code(
        ERROR, "The credentials lead to another account than the one that was drilled", "use that account's, or drill"
    ),
    "proof_of_role": Code(
        WARNING,
        "The drill ran with another identity than this one: what that one may do was proven, not what this one may",
        "drill with the identity that a person has in a disaster",
    ),
    "proof_of_endpoints": Code(
        WARNING,
        "The drill moved no name of an endpoint that the contract declares: nothing proves that users can be led to DR",
        "declare `drill_host` in the contract, and drill with a rehearsed promote",
    ),
    "proof_of_launch_template": Code(
        ERROR,
        "The launch template is another version, or describes another machine, than the drilled one",
        "`drfsm drill`",
    ),
}  # fmt: skip


def page_table() -> str:
    """Return the table of docs/doctor.md."""
    lines = ["| code | weighs | means | what to do |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {code.severity} | {code.means} | {code.to_do} |" for name, code in CODES.items()]
    return "\n".join(lines) + "\n"
