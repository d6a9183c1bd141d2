"""The audit of bundles for other programs: SARIF 2.1.0, for code scanning, and JUnit's XML, for a build server.

SARIF is plain JSON, written here: the one library for it on attrs has stood still since 2019, another brings pydantic;
the tests read it with that one. JUnit is written by junitparser (the extra ``audit``). Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from drfsm.errors import UsageFault
from drfsm.evidence.audit.audited import LOG, Audited, place_of
from drfsm.evidence.audit.codes import CODES, ERROR, NOTE, REMARK, RULES, title
from drfsm.evidence.audit.findings import Finding

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {ERROR: "error", REMARK: "warning", NOTE: "note"}


def sarif(audits: Sequence[Audited], version: str) -> dict[str, Any]:
    """Return a SARIF log with one run a bundle. ``version``: of drfsm."""
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(audited, version) for audited in audits]}


def _run(audited: Audited, version: str) -> dict[str, Any]:
    codes = sorted({finding.code for finding in audited.findings})
    driver = {"name": "drfsm audit", "version": version, "rules": [_rule(code) for code in codes]}
    return {
        "tool": {"driver": driver},
        "originalUriBaseIds": {"BUNDLE": {"description": {"text": audited.bundle}}},
        "properties": {"verdict": audited.verdict, "bundle": audited.bundle},
        "results": [_result(finding, codes.index(finding.code)) for finding in audited.findings],
    }


def _rule(code: str) -> dict[str, Any]:
    about = CODES[code]
    return {
        "id": code,
        "name": title(code),
        "shortDescription": {"text": about.means},
        "help": {"text": about.to_do},
        "defaultConfiguration": {"level": _LEVELS[about.severity]},
        "properties": {"rule": about.rule, "witness": RULES[about.rule].witness},
    }


def _result(finding: Finding, place: int) -> dict[str, Any]:
    where: dict[str, Any] = {"artifactLocation": {"uri": finding.file or LOG, "uriBaseId": "BUNDLE"}}
    if finding.line:
        where["region"] = {"startLine": finding.line}
    said = finding.record
    return {
        "ruleId": finding.code,
        "ruleIndex": place,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.what},
        "locations": [{"physicalLocation": where}],
        "properties": {"expected": said["expected"], "found": said["found"]},
    }


def junit(audits: Sequence[Audited]) -> str:
    """Return JUnit's XML: a suite a bundle, a case a rule. Raises UsageFault where junitparser is not installed."""
    try:
        from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite
    except ImportError:
        raise UsageFault("-o junit needs junitparser", hint='pip install "drfsm[audit]"') from None
    document = JUnitXml(name="drfsm audit")
    for audited in audits:
        suite = TestSuite(audited.bundle)
        for rule, about in RULES.items():
            case = TestCase(f"{rule}: {about.asks}", classname=audited.bundle)
            outcome, told = audited.outcome(rule), list(_lines(audited.of_rule(rule)))
            if outcome == "broken":
                case.result = [Failure(told[0], rule)]
            elif outcome == "not_asked":
                case.result = [Skipped("nothing was given to check it with, or nothing could be read")]
            case.system_out = "\n".join(told)
            suite.add_testcase(case)
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]  # junitparser's own
    return str(document.tostring().decode())  # type: ignore[no-untyped-call]


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{place_of(finding)}: {finding.what} [{finding.code}]"
