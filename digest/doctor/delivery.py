"""Checks of what others see: the site's URL, the mail provider, its webhook, and the sender's DNS records."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parseaddr
from smtplib import SMTPException
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
import dns.reversename
import httpx
from django.conf import settings
from django.utils import timezone

from accounts.addresses import ascii_domain
from digest.doctor import Check, Finding, failed, ok, unknown, warning
from digest.feedback import postmark_webhook, sendgrid_webhook, ses_webhook
from digest.installation import INSTALLATION_HEADER, installation_id
from digest.mailer import transports
from digest.models import Digest, Event

HTTP_TIMEOUT_S, DNS_TIMEOUT_S = 5.0, 4.0
# Events follow a mail within minutes.
EVENT_DELAY = timedelta(hours=2)
SENDGRID_SELECTORS = ("s1", "s2")


class Unreachable(Exception):
    """DNS cannot be asked from this machine."""


def check_site_url() -> Iterator[Finding]:
    """Request this site at its public URL, and compare who answers."""
    url = f"{settings.SITE_URL}/alive"
    try:
        response = httpx.get(url, timeout=HTTP_TIMEOUT_S)
    except httpx.HTTPError as error:
        text = f"{settings.SITE_URL} is not reachable from here: {error}"
        fix = "Check DNS, the proxy and the firewall. Some networks do not reach their own public address."
        yield unknown("site", text, fix)
        return
    if response.is_redirect:
        target = response.headers.get("location", "")
        text = f"{url} redirects to {target}."
        fix = "Set SITE_URL to the final address, or let the proxy send X-Forwarded-Proto."
        yield failed("site", text, fix)
    elif response.headers.get(INSTALLATION_HEADER) != installation_id():
        text = f"{settings.SITE_URL} is answered ({response.status_code}) by something else than this installation."
        fix = "Point SITE_URL's domain and proxy at this installation, with the same SECRET_KEY on all machines."
        yield failed("site", text, fix)
    else:
        yield ok("site", f"{settings.SITE_URL} reaches this installation.")


# What verifies the posts of each provider.
WEBHOOK_SETTINGS = {
    sendgrid_webhook: "SENDGRID_WEBHOOK_KEY to the verification key of the event webhook",
    ses_webhook: "SES_TOPIC_ARN to the topic that SES publishes to",
    postmark_webhook: "POSTMARK_WEBHOOK_PASSWORD to the password in the webhook's URL",
}


def check_webhook() -> Iterator[Finding]:
    """Check the webhook of each provider that is in use."""
    for provider, setting in WEBHOOK_SETTINGS.items():
        if provider.is_configured() or provider.SOURCE == settings.MAIL_TRANSPORT:
            yield from check_provider_webhook(provider.SOURCE, setting)


def check_provider_webhook(source: str, setting: str) -> Iterator[Finding]:
    """Post without a signature, which must be refused; then look at the events that arrived."""
    url = f"{settings.SITE_URL}/webhooks/{source}"
    try:
        status = httpx.post(url, json=[], timeout=HTTP_TIMEOUT_S).status_code
    except httpx.HTTPError as error:
        yield unknown("webhook", f"{url} is not reachable from here: {error}")
        return
    if status == 503:
        text = "No valid verification key is configured."
        yield failed("webhook", text, f"Set {setting}.")
    elif status != 403:
        text = f"{url} answers {status} to an unsigned post, not 403."
        yield failed(
            "webhook", text, "Let the proxy pass POST /webhooks/ on unchanged."
        )
    else:
        yield from check_events()


def check_events() -> Iterator[Finding]:
    now = timezone.now()
    sent = Digest.objects.filter(
        outcome=Digest.Outcome.ACCEPTED,
        outcome_at__range=(now - timedelta(days=7), now - EVENT_DELAY),
    )
    last = sent.order_by("-outcome_at").values_list("outcome_at", flat=True).first()
    if last is None:
        yield unknown("webhook", "It refuses unsigned posts; no mail was sent lately.")
    elif Event.objects.exclude(source="click").filter(received_at__gte=last).exists():
        yield ok("webhook", "It refuses unsigned posts, and events arrive.")
    else:
        text = f"No event has arrived since the mail of {last:%d %b, %H:%M} UTC."
        fix = "Enable the event webhook and its events at the provider, and compare its URL."
        yield failed("webhook", text, fix)


def check_transport() -> Iterator[Finding]:
    """Log in at the mail server or provider, without sending a mail."""
    try:
        transports.get_transport().check_settings()
    except transports.ConfigurationError as error:
        yield failed("mail transport", str(error), "Correct the setting.")
        return
    match settings.MAIL_TRANSPORT:
        case "smtp":
            yield from check_smtp()
        case "sendgrid":
            yield from check_sendgrid()
        case _:
            yield ok("mail transport", f"Mails are written to {settings.MAIL_DIR}.")


def check_smtp() -> Iterator[Finding]:
    from digest.mailer.transports import smtp

    server = smtp.parse_server()
    try:
        connection = smtp.open_smtp(server)
    except (OSError, SMTPException) as error:
        fix = "Compare SMTP_URL with the server's host, port, user and password."
        yield failed("mail transport", f"SMTP: {smtp.describe_error(error)}", fix)
        return
    has_dsn = connection.has_extn("dsn")
    connection.quit()
    yield ok("mail transport", f"{server.host} accepts the connection.")
    if settings.SMTP_SUCCESS_REPORTS and not has_dsn:
        text = f"{server.host} does not offer delivery reports (DSN)."
        fix = "Set SMTP_SUCCESS_REPORTS=false, or use a server that offers them."
        yield warning("mail transport", text, fix)


def check_sendgrid() -> Iterator[Finding]:
    try:
        response = httpx.get(
            f"{settings.SENDGRID_API_URL}/v3/scopes",
            headers={"Authorization": f"Bearer {settings.SENDGRID_API_KEY}"},
            timeout=HTTP_TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        yield unknown("mail transport", f"SendGrid is not reachable: {error}")
        return
    if response.status_code in (401, 403):
        fix = (
            "Create an API key with the permission Mail Send, and set SENDGRID_API_KEY."
        )
        yield failed("mail transport", "SendGrid refuses the API key.", fix)
    elif "mail.send" in response.text:
        yield ok("mail transport", "SendGrid accepts the API key.")
    else:
        text = (
            f"SendGrid answers {response.status_code} without the permission mail.send."
        )
        yield failed(
            "mail transport", text, "Give the API key the permission Mail Send."
        )


# DNS


def check_sender_domain() -> Iterator[Finding]:
    """Look up SPF, DKIM and DMARC of the sender, and PTR of its mail server."""
    domain = ascii_domain(parseaddr(settings.MAIL_FROM)[1].rpartition("@")[2])
    if "." not in domain:
        yield unknown("sender's DNS", f"{domain} is not a public domain.")
        return
    try:
        require_dns()
        yield from check_dmarc(domain)
        yield from check_spf(domain)
        yield from check_dkim(domain)
        yield from check_reverse_name()
        yield from check_bounce_domain()
    except Unreachable as error:
        text = f"DNS is not reachable from here: {error}"
        fix = "Run this where DNS works, or test at a mailbox: its original source shows SPF, DKIM and DMARC."
        yield unknown("sender's DNS", text, fix)


def check_dmarc(domain: str) -> Iterator[Finding]:
    parent = ".".join(domain.split(".")[-2:])
    names = dict.fromkeys([f"_dmarc.{domain}", f"_dmarc.{parent}"])
    records = [text for name in names for text in look_up(name, "TXT")]
    if any(text.lower().startswith("v=dmarc1") for text in records):
        yield ok("DMARC", f"{domain} has a policy.")
    else:
        text = (
            f"_dmarc.{domain} has no policy: Gmail and Yahoo refuse bulk mail without."
        )
        fix = f'Publish TXT _dmarc.{domain} "v=DMARC1; p=none; rua=mailto:…".'
        yield failed("DMARC", text, fix)


def check_spf(domain: str) -> Iterator[Finding]:
    """SPF concerns the envelope's domain, which is SendGrid's own CNAME where it sends."""
    if settings.MAIL_TRANSPORT == "sendgrid":
        return
    envelope = settings.BOUNCE_ADDRESS.rpartition("@")[2] or domain
    records = [t for t in look_up(envelope, "TXT") if t.lower().startswith("v=spf1")]
    if len(records) == 1:
        yield ok("SPF", f"{envelope}: {records[0]}")
    elif records:
        yield failed("SPF", f"{envelope} has {len(records)} records.", "Merge them.")
    else:
        fix = f'Publish TXT {envelope} "v=spf1 a:your-mail-server ~all".'
        yield failed("SPF", f"{envelope} has no record.", fix)


def check_dkim(domain: str) -> Iterator[Finding]:
    if settings.MAIL_TRANSPORT != "sendgrid":
        fix = "In a delivered mail, DKIM-Signature must name d=" + domain + "."
        yield unknown("DKIM", "Its selector is known to the mail server only.", fix)
        return
    missing = [
        name
        for selector in SENDGRID_SELECTORS
        if not look_up(name := f"{selector}._domainkey.{domain}", "TXT")
    ]
    if missing:
        fix = "Authenticate the domain in SendGrid, and publish the CNAME records it shows."
        yield failed("DKIM", f"{', '.join(missing)} do not exist.", fix)
    else:
        yield ok("DKIM", f"SendGrid's keys of {domain} exist.")


def check_reverse_name() -> Iterator[Finding]:
    """Compare PTR and address of an SMTP server of one's own."""
    if settings.MAIL_TRANSPORT != "smtp":
        return
    host = urlsplit(settings.SMTP_URL).hostname or ""
    addresses = look_up(host, "A") if "." in host else []
    for address in addresses:
        names = look_up(dns.reversename.from_address(address).to_text(), "PTR")
        confirmed = [name for name in names if address in look_up(name, "A")]
        if confirmed:
            yield ok("PTR", f"{address} is {confirmed[0].rstrip('.')}.")
        else:
            text = f"{address} has no name that leads back to it."
            fix = "Set the reverse name at the provider of the address."
            yield warning("PTR", text, fix)


def check_bounce_domain() -> Iterator[Finding]:
    domain = settings.BOUNCE_ADDRESS.rpartition("@")[2]
    if not domain:
        return
    if look_up(domain, "MX") or look_up(domain, "A"):
        yield ok("bounces", f"{domain} has a mail server.")
    else:
        fix = f"Publish an MX record of {domain}."
        yield failed("bounces", f"{domain} has no mail server.", fix)


def require_dns() -> None:
    """Raise Unreachable where a resolver answers that nothing exists, as some networks' do."""
    if not look_up(".", "NS"):
        raise Unreachable("the resolver does not know the root servers")


def look_up(name: str, kind: str) -> list[str]:
    """Return the records of a name, [] if there are none; raise Unreachable if nobody answers."""
    try:
        answer = dns.resolver.resolve(name, kind, lifetime=DNS_TIMEOUT_S)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError, socket.gaierror) as error:
        raise Unreachable(type(error).__name__) from error
    if kind == "TXT":
        return [b"".join(record.strings).decode(errors="replace") for record in answer]
    return [record.to_text() for record in answer]


CHECKS: tuple[Check, ...] = (
    check_transport,
    check_site_url,
    check_webhook,
    check_sender_domain,
)
