"""The codes of what can be wrong within a log, held against its declaration; codes.py has them all."""

from collections.abc import Mapping

from drfsm.evidence.audit.code import NOTE, REMARK, Code, Rule

_LOG = "the log itself"
_DECLARED = "the log and its declaration"
_JUDGES = "drfsm's judges, from what the record says was seen"
_COPY = "a head that was copied to another place"

LOG_RULES: Mapping[str, Rule] = {
    "chain": Rule("Every line names the SHA-256 of the line before it", "the hash chain; any SHA-256 program"),
    "order": Rule("Each kind of record stands where it may, from the beginning to the seal", _LOG),
    "shape": Rule("Every record fits the schema of its kind", _LOG),
    "digest": Rule("The run is pinned to the declaration at hand", "the declaration in the bundle"),
    "declaration": Rule("Somebody whom the auditor trusts wrote the declaration", "drfsm's table of what it shipped"),
    "inputs": Rule("The run's inputs are those that the machine declares", _DECLARED),
    "bound": Rule("Inputs, results and readings that speak of the same thing say the same", _LOG),
    "legality": Rule("Each step is a declared row, from where the run stood, by whom it may be fired", _DECLARED),
    "row": Rule("What a record says of its row is what is declared", _DECLARED),
    "guard": Rule("Every guard that a row declares is on record, and held", _DECLARED),
    "foreseen": Rule("What was foreseen of later rows is as declared, and refused nothing", _DECLARED),
    "fact": Rule("Every reading is of a declared fact, with one of its values", _DECLARED),
    "judge": Rule("What was seen, judged again, gives the recorded value", _JUDGES),
    "intent": Rule("Every action has its intent from before it", _LOG),
    "attempts": Rule("Attempts, tries and rounds are counted, and no more than declared", _DECLARED),
    "wait": Rule("A wait ends only on the samples that it declares", _DECLARED),
    "postcondition": Rule("What an action promised was seen after it", _DECLARED),
    "recovery": Rule("What was left open is settled by the recovery table, before anything else", _DECLARED),
    "late": Rule("What was given up was shut out before anything relied on it", _DECLARED),
    "undo": Rule("What was undone is as it was before, newest first, never past the point of no return", _DECLARED),
    "lease": Rule("One process worked at a time", _LOG),
    "frozen": Rule("What is said to be frozen is what the facts mean", _DECLARED),
    "never": Rule("No state that the machine forbids was reached", _DECLARED),
    "dry_run": Rule("A dry run forecasts every row, and moves nothing", _DECLARED),
    "seal": Rule("The seal counts the records before it and names the last one", _LOG),
    "times": Rule("Times run forwards", _LOG),
    "truncated": Rule("The log is not shorter than somebody else knows it", _COPY),
    "rewritten": Rule("The log has the record that somebody else knows", _COPY),
}

_COMPARE = "Ask whose copy is the older. `drfsm audit --mirror BUNDLE` shows which records the store has"
_MEND = "Restore the bundle's <machine>.yaml from a copy; it must have the digest that the first record names"

LOG_CODES: Mapping[str, Code] = {
    "chain_broken": Code(
        "chain",
        "A line does not follow the line before it, or is no record: bytes were altered, removed or inserted",
        "Keep the file. Go on from a copy that verifies, or from the run's mirror. Lines after this one were not"
        " judged",
    ),
    "lines_not_judged": Code(
        "chain", "The lines after a broken one were not judged", "Audit a copy that is whole", severity=REMARK
    ),
    "last_line_torn": Code(
        "chain",
        "The last line has no newline: its writer died in the middle of it, or is still writing",
        "Nothing, if the run goes on: the next process cuts it off and records that. Else ask where its end is",
        severity=REMARK,
    ),
    "tail_was_cut": Code(
        "chain",
        "A process that took the run over cut off a torn last line, and recorded that",
        "Nothing",
        severity=NOTE,
    ),
    "no_records": Code("order", "The log holds no record, so nothing is proven"),
    "not_begun": Code("order", "The log does not begin with run_started, so nothing in it can be judged"),
    "begun_twice": Code("order", "A second run begins in the same log: two logs were spliced"),
    "after_the_seal": Code("order", "A record stands after the seal"),
    "after_the_end": Code("order", "A record stands after the end"),
    "after_a_final_state": Code("order", "The run goes on after a final state"),
    "start_was_revoked": Code("order", "Another run revoked the start of this one, and its log goes on"),
    "end_is_missing": Code(
        "order",
        "The run reached a final state, and the log stops before it says so: it was killed there, or its end was"
        " cut off",
        "`drfsm status BUNDLE`: where the process died, `drfsm resume` writes the end. Else compare with the mirror",
        severity=REMARK,
    ),
    "seal_is_missing": Code(
        "order",
        "The run ended, and the log has no seal: the process was killed between the two, or the seal was cut off",
        "`drfsm resume BUNDLE` writes a missing seal. Else compare with the mirror",
        severity=REMARK,
    ),
    "record_unreadable": Code("shape", "A field of a record is missing, or is not of its type"),
    "key_undeclared": Code(
        "shape",
        "A record has a key that its kind does not declare: a later version wrote it, or somebody added it",
        "Audit with the version of drfsm that wrote the log, or a later one",
    ),
    "field_not_as_declared": Code(
        "shape", "A field has a value that the schema of its record does not allow: another word, another form"
    ),
    "unknown_mode": Code("shape", "The run is neither live nor a drill's"),
    "other_machine": Code("digest", "The run is of another machine than the declaration at hand", _MEND),
    "other_receipt_table": Code("digest", "The receipt's table on record is not the declaration's"),
    "version_before_declaration": Code(
        "digest",
        "The run says that an older drfsm began it than the first that shipped its declaration. An older version"
        " owes less",
    ),
    "other_declaration": Code("digest", "The run is pinned to another declaration than the one at hand", _MEND),
    "declaration_unknown": Code(
        "declaration",
        "drfsm ships no such declaration: what an unknown one allows may be anything",
        "Read it (`drfsm machine diff BUNDLE <machine>`), then vouch for it: `--trust-machine SHA256`",
    ),
    "input_missing_or_undeclared": Code("inputs", "An input that is declared is missing, or one is not declared"),
    "input_value_undeclared": Code("inputs", "An input has a value that the machine does not declare"),
    "input_is_no_number": Code("inputs", "A limit is taken from an input that is no number"),
    "inputs_amended_otherwise": Code(
        "inputs", "A step replaces other inputs than its row declares, or than its arguments name"
    ),
    "input_unlike_seen": Code("bound", "An input says something else than a reading that was made with it"),
    "result_unlike_seen": Code("bound", "What an action returned is not what was read afterwards"),
    "reading_unlike_earlier": Code(
        "bound",
        "A thing that keeps its identity for its whole life (a cluster's UID, a captured version) changed its own",
    ),
    "no_such_row": Code("legality", "A record names a row that the machine does not have for this run's inputs"),
    "wrong_state": Code("legality", "A record speaks of another state than the one in which the run stood"),
    "fired_by_another": Code(
        "legality", "A row was fired by somebody whose row it is not: runner, operator or failure"
    ),
    "nobody_is_named": Code("legality", "A person's command is on record without a person"),
    "no_failure_is_named": Code("legality", "A failure's row is on record without a failure"),
    "went_on_though_held": Code("legality", "The run was held, and went on although nobody resumed it"),
    "end_not_declared": Code(
        "legality", "The run ends in a state, or with a status, that the machine does not declare"
    ),
    "intent_without_action": Code("legality", "An intent is of a row that does nothing"),
    "repair_undeclared": Code("legality", "A repair is not the declared one, or not of a row that is being tried"),
    "no_such_wait": Code("legality", "A sample belongs to no wait of the state in which the run stood"),
    "forecast_out_of_order": Code("legality", "A forecast is not of the row that comes next"),
    "row_other_than_declared": Code("row", "A record says of its row something else than is declared"),
    "offer_impossible": Code("row", "A record offers a next action that nobody can do there"),
    "offer_other_than_declared": Code("row", "A next action is offered with other arguments or values than declared"),
    "other_attempt_failed": Code("row", "The attempt that failed is not the one that was begun"),
    "args_changed_since_intent": Code("row", "A commit has other arguments than its intent"),
    "result_without_action": Code("row", "A row that does nothing has a result"),
    "how_unknown": Code("row", "A commit says in an unknown word how it came about"),
    "guard_not_held": Code("guard", "A step was taken although a guard of it did not hold"),
    "guard_missing": Code("guard", "A guard that the row declares is not on record"),
    "guard_undeclared": Code("guard", "A guard is on record that the row does not declare"),
    "guard_other_than_declared": Code("guard", "A guard is on record with other values or reasons than declared"),
    "guard_twice": Code("guard", "A guard is on record twice"),
    "guard_and_facts_disagree": Code("guard", "A guard says of a fact something else than the same record's facts"),
    "guard_outcome_wrong": Code("guard", "A dry run calls a guard passed, failed or not evaluated, and it is not"),
    "guards_changed_since_intent": Code("guard", "A commit has other guards than its intent"),
    "facts_changed_since_intent": Code(
        "guard", "A commit has other readings than its intent, of what it did not change"
    ),
    "foreseen_refusal_passed": Code("foreseen", "The run went on although a guard of a later row refused it"),
    "foreseen_other_than_declared": Code("foreseen", "A guard of a later row is foreseen other than declared"),
    "fact_undeclared": Code("fact", "A fact was read that the machine does not declare"),
    "fact_is_hidden": Code("fact", "A fact is on record that nobody can read"),
    "fact_value_undeclared": Code("fact", "A fact has a value that the machine does not declare"),
    "observation_unreadable": Code("judge", "What was seen is not what this fact's observation can be"),
    "judged_otherwise": Code("judge", "What was seen, judged again, gives another value than the recorded one"),
    "not_judged_again": Code(
        "judge",
        "Some observations were not judged again: drfsm has no judge for these facts (a machine of your own)",
        "Audit with the machine's own binding, from a program: drfsm.evidence.audit",
        severity=REMARK,
    ),
    "no_intent": Code("intent", "An action is committed without an intent: nothing shows when it began"),
    "attempt_number_wrong": Code("attempts", "An attempt has another number than the one that is due"),
    "too_many_attempts": Code("attempts", "Something was tried more often than is declared"),
    "too_many_rounds": Code("attempts", "The run was led back more often than is declared"),
    "no_sample": Code("wait", "A wait ended without a sample"),
    "sample_wrong": Code("wait", "A sample says that its guards hold, or do not, unlike its own readings"),
    "sample_repeated": Code(
        "wait", "Two samples in a row of one process say the same without need: one is a copy of the other"
    ),
    "sample_out_of_order": Code("wait", "Samples of one try are not in the order of the time that they waited"),
    "wait_ended_on_other_readings": Code("wait", "A wait ended with other readings than its last sample"),
    "too_few_clear_samples": Code("wait", "A wait ended after fewer clear samples in a row than are declared"),
    "postcondition_not_seen": Code("postcondition", "An action is committed, and a fact is not as its row sets it"),
    "undo_not_seen": Code("postcondition", "An undo is committed, and a fact is not as it was before the change"),
    "settled_unlike_seen": Code("postcondition", "A late request is settled unlike what was seen"),
    "open_at_the_end": Code("recovery", "The run ends while nobody knows whether an action was done"),
    "open_intent_passed_over": Code("recovery", "A step was taken before an open action was settled"),
    "superseded_otherwise": Code("recovery", "A step names another open action that it supersedes than was open"),
    "done_once_begun_again": Code(
        "recovery", "An action that may be done once was begun again while its outcome was open"
    ),
    "begun_again_though_done": Code("recovery", "An action was begun again though a person had said that it was done"),
    "failed_without_intent": Code("recovery", "A failure is on record of an action that was not begun"),
    "verdict_unknown": Code("recovery", "A failed attempt has a verdict that the recovery table does not know"),
    "not_as_before": Code(
        "recovery", "An attempt is said to have changed nothing, and what it changes was not as before"
    ),
    "found_not_allowed": Code(
        "recovery", "An action is committed as found done where the recovery table does not allow it"
    ),
    "resolved_by_nobody": Code("recovery", "An action is committed as resolved, and nobody said that it was done"),
    "settled_by_nobody": Code("recovery", "An open outcome was settled without a person, a reason or a known word"),
    "nothing_to_settle": Code("recovery", "Something was settled that was not open"),
    "predecessor_not_settled": Code(
        "recovery", "A change began before that was settled which the lease's last holder had left open"
    ),
    "said_to_be_answered": Code("recovery", "Every attempt is said to be answered, and one was not"),
    "said_to_be_waited_for": Code("recovery", "A later request is said to have done it, and no record says so"),
    "late_request_unsettled": Code(
        "late", "A request may still take effect, and nothing shows that it cannot any more"
    ),
    "said_to_be_shut_out": Code("late", "A request without a condition is said to be shut out by one"),
    "said_to_have_landed": Code("undo", "A request is said to have landed late, and nothing of it was seen"),
    "said_not_to_have_landed": Code("undo", "A request is said not to have landed, and its change was seen"),
    "undo_other_than_declared": Code("undo", "An intent names another undo than its row declares"),
    "snapshot_of_other_facts": Code("undo", "The snapshot before an action is not of the facts that it changes"),
    "snapshot_not_what_was_seen": Code("undo", "The snapshot before an action is not what the same record saw"),
    "undone_past_the_point": Code("undo", "Something was undone after the point of no return"),
    "left_to_undo": Code("undo", "An abort goes on before everything is undone"),
    "nothing_to_undo": Code("undo", "An undo is on record with nothing left to undo"),
    "undoes_the_wrong_thing": Code("undo", "An undo is not of the newest change that is left"),
    "not_undone": Code("undo", "The run ends aborted, and something was not undone"),
    "kept_list_wrong": Code("undo", "What was kept on purpose is not what the records say"),
    "no_lease": Code("lease", "Something was done without a lease"),
    "epoch_did_not_rise": Code("lease", "The lease's number did not rise: two processes could have acted at once"),
    "lease_released_too_late": Code("lease", "The lease was released after an action had begun"),
    "frozen_words_wrong": Code("frozen", "A record calls other things frozen than its facts mean"),
    "never_rule_broken": Code(
        "never",
        "The facts of a record are what the machine says must never be",
        "Read the rule (`drfsm machine show MACHINE`) and what was seen (`drfsm replay -v BUNDLE`): this is what"
        " happened",
    ),
    "dry_run_acted": Code("dry_run", "A dry run has records of something that was done"),
    "forecast_in_a_run": Code("dry_run", "A forecast stands in a run that is no dry run"),
    "dry_run_goes_on_refused": Code("dry_run", "A dry run goes on after it was refused"),
    "dry_run_end_wrong": Code("dry_run", "A dry run ends in another state, status or number of findings than it must"),
    "dry_run_ends_early": Code("dry_run", "A dry run ends before every row was forecast"),
    "sealed_before_the_end": Code("seal", "The log is sealed before the run has ended"),
    "seal_count_wrong": Code("seal", "The seal counts other records than there are"),
    "seal_head_wrong": Code("seal", "The seal names another head than the line before it has"),
    "time_runs_back": Code(
        "times",
        "A record has a time before that of the record above it: a clock was set, or another machine's differs",
        "Nothing: times prove nothing of the order, the chain does",
        severity=REMARK,
    ),
    "log_cut_off": Code(
        "truncated", "The log has fewer records than somebody else knows: its end was cut off", _COMPARE
    ),
    "log_rewritten": Code("rewritten", "The log has another record than somebody else knows", _COMPARE),
    "log_has_grown": Code("truncated", "The log has grown since its head was copied", "Nothing", severity=NOTE),
    "head_not_compared": Code(
        "truncated",
        "No head from another place was compared: a chain alone does not show that its end was cut off, or that all"
        " of it"
        " was written anew",
        "`--expect-head`, from a summary that left the machine; or `--mirror`; or a signature (`--key`)",
        severity=REMARK,
    ),
}
