"""Findings in Pulumi's own words: errors stop the program, warnings and notes are logged."""

from collections.abc import Iterable

import pulumi

from broker.findings import Finding, of_severity, render_findings


def report(findings: Iterable[Finding]) -> None:
    """
    Log notes and warnings, then stop if there are errors.

    Raises:
        pulumi.RunError: the errors, all of them.

    """
    found = tuple(findings)
    for finding in of_severity("note", found):
        pulumi.log.info(finding.text)
    for finding in of_severity("warning", found):
        pulumi.log.warn(finding.text)
    if errors := of_severity("error", found):
        raise pulumi.RunError(render_findings(errors))


def stop_on_errors(findings: Iterable[Finding]) -> None:
    """
    Report *findings* if there are errors among them; else a plan reports them later.

    Raises:
        pulumi.RunError: the errors, all of them.

    """
    found = tuple(findings)
    if of_severity("error", found):
        report(found)
