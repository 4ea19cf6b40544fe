"""The same mails by a plain Django loop: ORM, Django templates, EmailMultiAlternatives.

What a careful developer writes first: an edition's candidates are read once, a reader's
papers are those that mention what they follow, looked up once for each interest, then the
trending ones. One SMTP connection is kept; SendGrid's SDK posts a mail at a time. Styles
are inline in the template.
"""

from typing import Any

import sendgrid
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template import Context, Engine, Template
from django.utils import timezone
from sendgrid.helpers.mail import Mail

from accounts.models import Subscriber
from digest.models import Batch, Candidate, Digest, Edition, Pick

LENGTH = 10
BACKENDS = {"smtp": "django.core.mail.backends.smtp.EmailBackend"}

TEXT = """{{ site_name|upper }}
{{ edition.day|date:"l, j F Y" }}
{% for candidate in candidates %}
{{ forloop.counter }}. {{ candidate.card.title|wordwrap:72 }}
{{ candidate.card.authors }}
{{ candidate.card.date }} - {{ candidate.card.primary }} - {{ candidate.card.votes }} votes

{{ candidate.card.summary|wordwrap:72 }}

Read: {{ site }}{% url "link" digest.key forloop.counter "paper" %}
arXiv: {{ site }}{% url "link" digest.key forloop.counter "arxiv" %}
PDF: {{ site }}{% url "link" digest.key forloop.counter "pdf" %}
More like this: {{ site }}{% url "link" digest.key forloop.counter "more" %}
Less like this: {{ site }}{% url "link" digest.key forloop.counter "less" %}
{% endfor %}
You signed up on {{ reader.confirmed_at|date:"j F Y" }}.
Preferences: {{ site }}{% url "preferences" digest.key %}
Unsubscribe: {{ unsubscribe }}
"""
LINK = '<a style="color: #9b3420" href="{{ site }}{% url "link" digest.key forloop.counter "VERB" %}">LABEL</a>'
LINKS = " · ".join(
    LINK.replace("VERB", verb).replace("LABEL", label)
    for verb, label in (
        ("arxiv", "arXiv"),
        ("pdf", "PDF"),
        ("more", "More like this"),
        ("less", "Less like this"),
    )
)
HTML = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{{{{ subject }}}}</title></head>
<body style="margin: 0; font-family: sans-serif; color: #1d1b18">
<h1 style="font-size: 28px">{{{{ site_name }}}}</h1>
<p style="color: #5d574d">{{{{ edition.day|date:"l, j F Y" }}}}</p>
<ol>{{% for candidate in candidates %}}<li style="margin: 0 0 5px"><a style="color: #1d1b18" href="{{{{ site }}}}{{% url "link" digest.key forloop.counter "paper" %}}">{{{{ candidate.card.title }}}}</a></li>{{% endfor %}}</ol>
{{% for candidate in candidates %}}
<div style="padding: 24px 0 14px; border-bottom: 1px solid #e2ddd2">
<h2 style="font-size: 20px">{{{{ forloop.counter }}}}. <a style="color: #1d1b18" href="{{{{ site }}}}{{% url "link" digest.key forloop.counter "paper" %}}">{{{{ candidate.card.title }}}}</a></h2>
<p style="color: #5d574d">{{{{ candidate.card.authors }}}}<br>{{{{ candidate.card.date }}}} · {{{{ candidate.card.primary }}}} · {{{{ candidate.card.votes }}}} votes</p>
<p style="margin: 0 0 8px">{{{{ candidate.card.summary }}}}</p>
<p style="color: #5d574d">{LINKS}</p>
</div>
{{% endfor %}}
<p style="color: #5d574d">You signed up on {{{{ reader.confirmed_at|date:"j F Y" }}}}.</p>
<p><a href="{{{{ site }}}}{{% url "preferences" digest.key %}}">Preferences</a> · <a href="{{{{ unsubscribe }}}}">Unsubscribe</a></p>
</body></html>
"""


def send_plainly(edition: Edition, batch: Batch, transport: str, readers: int) -> int:
    """Mail the first readers one after another; return how many were mailed."""
    engine = Engine()
    templates = engine.from_string(TEXT), engine.from_string(HTML)
    candidates = list(edition.candidates.order_by("-trend"))
    texts = [f"{c.card['title']} {c.card['abstract']}".lower() for c in candidates]
    if transport == "smtp":
        host, _, port = settings.SMTP_URL.removeprefix("smtp://").partition(":")
        connection = get_connection(BACKENDS["smtp"], host=host, port=int(port))
        connection.open()
    else:
        client = sendgrid.SendGridAPIClient(
            api_key=settings.SENDGRID_API_KEY, host=settings.SENDGRID_API_URL
        )
    rows = Subscriber.objects.order_by("pk").prefetch_related("follows__interest")
    mentions: dict[str, list[int]] = {}
    sent = 0
    for reader in rows[:readers]:
        values = [f.interest.value.lower() for f in reader.follows.all()]
        for value in set(values) - mentions.keys():
            mentions[value] = [c for c, text in enumerate(texts) if value in text]
        matching = sorted({number for value in values for number in mentions[value]})
        chosen = ([candidates[number] for number in matching] + candidates)[:LENGTH]
        digest = Digest(
            subscriber=reader, edition=edition, batch=batch, created_at=timezone.now()
        )
        digest.picks = [Pick(candidate.pk, 0) for candidate in chosen]
        digest.save()
        text, html = render(templates, edition, reader, digest, chosen)
        subject = f"{edition.day:%d %b}: {chosen[0].card['title']}"
        unsubscribe = unsubscribe_url(reader)
        if transport == "smtp":
            message = EmailMultiAlternatives(
                subject,
                text,
                settings.MAIL_FROM,
                [reader.email],
                connection=connection,
                headers={"List-Unsubscribe": f"<{unsubscribe}>"},
            )
            message.attach_alternative(html, "text/html")
            message.send()
        else:
            client.send(Mail("papers@example.org", reader.email, subject, text, html))
        digest.outcome, digest.outcome_at = Digest.Outcome.ACCEPTED, timezone.now()
        digest.save(update_fields=["outcome", "outcome_at"])
        sent += 1
    if transport == "smtp":
        connection.close()
    return sent


def render(
    templates: tuple[Template, Template],
    edition: Edition,
    reader: Subscriber,
    digest: Digest,
    candidates: list[Candidate],
) -> tuple[str, str]:
    context: dict[str, Any] = {
        "site_name": settings.SITE_NAME,
        "site": settings.SITE_URL,
        "edition": edition,
        "reader": reader,
        "digest": digest,
        "candidates": candidates,
        "unsubscribe": unsubscribe_url(reader),
        "subject": candidates[0].card["title"],
    }
    text, html = templates
    return text.render(Context(context, autoescape=False)), html.render(
        Context(context)
    )


def unsubscribe_url(reader: Subscriber) -> str:
    return f"{settings.SITE_URL}/unsubscribe/{reader.unsubscribe_key}"
