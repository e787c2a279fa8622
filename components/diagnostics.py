"""Report findings to Pulumi: errors stop the program, warnings and notes are logged."""

from collections.abc import Iterable

import pulumi

from broker.findings import Finding, of_severity, render_findings


def report(findings: Iterable[Finding]) -> None:
    """
    Log notes and warnings, then stop if there are errors.

    Raises:
        pulumi.RunError: there are errors; the message contains all of them.

    """
    all_findings = tuple(findings)
    for finding in of_severity("note", all_findings):
        pulumi.log.info(finding.text)
    for finding in of_severity("warning", all_findings):
        pulumi.log.warn(finding.text)
    if errors := of_severity("error", all_findings):
        raise pulumi.RunError(render_findings(errors))


def stop_on_errors(findings: Iterable[Finding]) -> None:
    """
    Report *findings* if they contain errors. Without errors, the plan reports them later.

    Raises:
        pulumi.RunError: there are errors; the message contains all of them.

    """
    all_findings = tuple(findings)
    if of_severity("error", all_findings):
        report(all_findings)
