"""`manage.py doctor [--mail-to ADDRESS]`: check an installation, and say how to mend it."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.management.base import BaseCommand

from digest import doctor
from digest.doctor import Finding, State


class Command(BaseCommand):
    help = (
        "Check settings, database, broker, processes, disk, clock, papers, mail, DNS and the public "
        "URL, and say how to mend what is wrong. The exit status is 1 if a check failed."
    )
    requires_system_checks: list[str] = []  # they become findings

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--mail-to", metavar="ADDRESS", help="also send a test mail"
        )

    def handle(self, *args: Any, mail_to: str | None, **options: Any) -> None:
        findings = []
        for finding in doctor.diagnose():
            self.print_finding(finding)
            findings.append(finding)
        if mail_to:
            findings.append(send_test_mail(mail_to))
            self.print_finding(findings[-1])
        if doctor.has_failed(findings):
            sys.exit(1)

    def print_finding(self, finding: Finding) -> None:
        color = {
            State.OK: self.style.SUCCESS,
            State.UNKNOWN: self.style.NOTICE,
            State.WARNING: self.style.WARNING,
            State.FAILED: self.style.ERROR,
        }[finding.state]
        state = color(f"{finding.state:<8}")
        self.stdout.write(f"{state} {finding.name:<16} {finding.text}")
        if finding.fix:
            self.stdout.write(f"{'':25} → {finding.fix}")


def send_test_mail(address: str) -> Finding:
    """Send a mail as account mails are sent, over the configured transport."""
    message = EmailMessage(
        subject=f"Test of {settings.SITE_NAME}",
        body=f"{settings.SITE_URL} can send mail. The headers of this mail show whether SPF, DKIM and DMARC pass.\n",
        to=[address],
        headers={"Auto-Submitted": "auto-generated"},
    )
    try:
        message.send()
    except Exception as error:  # every transport has its own
        text = f"Not accepted: {type(error).__name__}: {error}"
        return doctor.failed("test mail", text, "Correct the mail settings.")
    return doctor.ok("test mail", f"Accepted for {address}.")
