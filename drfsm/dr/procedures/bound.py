"""What speaks of the same thing in the records of a procedure: the audit's table (evidence/audit/bound.py).

Only what cannot change while a run lasts, or what one record says twice. A line that a rightful run breaks is a defect
of this table: it would call honest evidence false.
"""

from collections.abc import Mapping
from functools import cache

from drfsm.evidence.audit.bound import Pair, pairs

_ALL = """
seen cloud_identity region                     is     input region
seen cloud_identity expected_account           equals input expect_account
result run_preflight region                    is     seen cloud_identity region
result run_preflight account                   is     seen cloud_identity account
result run_preflight image                     is     seen image image
result run_preflight proven cloud_caller       is     result run_preflight caller
seen image image                               is     input image_ref
seen validation_result name                    among  seen validation_job jobs *
seen validation_result publishes_as image      is     result start_validation image
seen validation_result publishes_as service_account is result start_validation service_account
seen validation_result publishes_as settings_from is  result start_validation settings_from
"""
_SITES = """
result run_preflight clusters *                among  seen clusters *
seen publishing_place wanted *                 among  text {bucket}|{prefix}
seen adoption adopt_ownership                  equals input adopt_ownership
seen adoption reason                           equals input reason
result fence_primary role                      is     input fence_primary_role
seen primary_fence_target role                 is     input fence_primary_role
seen primary_fence_target other                is     input fence_dr_role
result fence_primary sid                       among  seen primary_fence statements * Sid
seen primary_startable image                   is     seen image image
result freeze_primary suspended *              among  seen primary_schedules #
result freeze_primary specs #                  among  seen primary_schedules #
result start_validation image                  is     result run_preflight image
result capture_pointers pointers @ content     each   result capture_pointers pointers @ says content
seen captured @ captured                       each   result capture_pointers pointers @ etag
seen captured #                                among  result capture_pointers pointers #
result capture_pointers pointers * says run_id among  seen captured * names
result publish_artifacts tree_sha256           is     seen artifacts tree_sha256
result switch_provider_pointers moved *        among  seen provider_pointers #
result switch_provider_pointers ended_at       among  seen provider_pointers * ended_at
result switch_global_pointer moved *           among  seen global_pointer #
result switch_global_pointer ended_at          among  seen global_pointer * ended_at
seen artifacts where                           below  text {prefix}
"""
MACHINES: Mapping[str, str] = {
    "failback": _ALL + _SITES + """
seen dr_run where                              below  text s3://{bucket}/{prefix}
seen primary_run where                         below  text s3://{bucket}/{prefix}
seen primary_run run_id                        is     input primary_run_id
seen primary_run run_id                        among  seen validation_result published *
seen dr_run run_id                             is     input dr_run_id
seen backup uri                                is     input primary_restore_backup_uri
seen dr_loss declared                          is     input dr_unreachable
seen dr_loss reason                            equals input reason
seen dr_fence_target role                      is     input fence_dr_role
seen dr_fence_target other                     is     input fence_primary_role
result fence_dr role                           is     input fence_dr_role
result fence_dr sid                            among  seen dr_fence statements * Sid
result freeze_dr suspended *                   among  seen dr_schedules #
result freeze_dr specs #                       among  seen dr_schedules #
result start_validation publishes_to           is     text {prefix}/validations/{run_id}
""",
    "promote": _ALL + _SITES + """
seen dr_run where                              below  text s3://{bucket}/{staged_prefix}
seen dr_run run_id                             is     input dr_run_id
seen primary_loss declared                     is     input primary_unreachable
seen primary_loss reason                       equals input reason
result start_validation publishes_to           is     input staged_prefix
seen approval plan bucket                      is     input bucket
seen approval plan prefix                      is     input prefix
seen approval plan candidate                   is     input candidate
seen approval plan run                         is     run run_id
seen approval plan canonical_run run_id        is     input dr_run_id
seen approval plan canonical_run tree_sha256   is     seen dr_run tree_sha256
seen approval plan cluster_uid                 is     seen clusters dr
seen approval plan primary fence_role          is     input fence_primary_role
seen approver starter operator                 is     run operator
seen approver starter proven os_user           is     run proven os_user
seen approver approver operator                is     args approve approved_by
args approve approved_by                       is     args approve operator
seen approval_age approved_at                  is     input approved_at
""",
    "drill": _ALL + """
result run_preflight git_sha                   is     input git_sha
result run_preflight git_sha_from              is     input git_sha_from
result run_preflight drill_prefix              is     input journal_prefix
seen backup_contents uri                       is     input backup_uri
seen backup_contents sha256                    is     input expect_backup_sha256
seen backup_contents sha256                    is     result check_backup backup_sha256
seen backup_contents parts * sha256            among  result check_backup checksums *
result check_backup backup_uri                 is     input backup_uri
result check_backup created_at                 is     seen recovery_point created_at
seen restored_manifests backup                 is     input backup_uri
seen restored_manifests backup_sha256          is     seen backup_contents sha256
result plan_site plan                          is     seen runner_plan plan
result plan_site planned_machines              is     result plan_site plan machines
result bring_up_site by                        is     seen runner by
result bring_up_site given                     is     seen runner given
result bring_up_site resources                 is     seen runner resources
seen runner_ready by                           is     seen runner by
seen runner_ready resources                    is     seen runner resources
seen runner_ready kubeconfig server            is     seen site_kubeconfig kubeconfig server
result reach_site kubeconfig server            is     seen site_kubeconfig kubeconfig server
result reach_site machines * launched_at       among  result bring_up_site machines * launched_at
result reach_site machines * instance_type     among  result bring_up_site machines * instance_type
result reach_site machines * disk_gb           among  result bring_up_site machines * disk_gb
seen runner run                                among  text {run_id}|{site_run}
result bring_up_site run                       is     run run_id
result bring_up_site instance_ids *            among  seen runner machines #
result bring_up_site machines * instance_id    among  seen runner machines #
result reach_site machines * instance_id       among  seen runner machines #
result reach_site kubeconfig sha256            is     seen site_kubeconfig kubeconfig sha256
seen runner_ready kubeconfig sha256            is     seen site_kubeconfig kubeconfig sha256
seen runner_ready machines #                   among  seen runner machines #
seen site_baseline cluster_uid                 is     result reach_site cluster_uid
result apply_control_plane applied cluster_uid is     result reach_site cluster_uid
result apply_control_plane applied namespace   is     input namespace
result apply_control_plane bundle_uri          is     seen dr_control_plane current bundle_uri
result apply_control_plane bundle_sha256       is     seen dr_control_plane current bundle_sha256
result apply_control_plane applied bundle_uri  is     seen dr_control_plane current bundle_uri
result apply_control_plane applied bundle_sha256 is   seen dr_control_plane current bundle_sha256
result confirm_secrets applied cluster_uid     is     result reach_site cluster_uid
result confirm_secrets applied namespace       is     input namespace
result confirm_secrets bundle_sha256           is     result confirm_secrets applied bundle_sha256
result confirm_secrets bundle_uri              is     result confirm_secrets applied bundle_uri
result start_validation publishes_to           is     input staged_prefix
result measure_recovery started_at             is     seen recovery_time started_at
result measure_recovery validated_by           is     seen recovery_time validated_by
result measure_recovery covers                 is     seen recovery_time covers
seen validated_run run_id                      among  seen validation_result published *
seen backup_contents created_at                is     result check_backup created_at
seen validated_run where                       below  text s3://{bucket}/{staged_prefix}
seen recovery_time started_at                  is     input started_at
seen promote_flags target                      is     input promote_target
""",
}  # fmt: skip


@cache
def pairs_of(machine: str) -> tuple[Pair, ...]:
    """Return the table of a shipped machine; nothing for another one."""
    return pairs(MACHINES.get(machine, ""))
