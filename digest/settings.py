"""Settings of every installation; environment variables hold what differs between machines."""

from datetime import date, time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.templatetags.static import static
from django.urls import reverse_lazy

from digest import env as parsers
from digest.env import Environment, load_secret

ROOT = Path(__file__).resolve().parent.parent
env = Environment()
SETTING_PROBLEMS = env.problems  # reported by digest.checks

VAR = env.folder("VAR_DIR", ROOT / "var")
if not VAR.exists():
    try:
        VAR.mkdir(parents=True, mode=0o700)
    except OSError as error:
        env.add_problem(
            "VAR_DIR",
            f"cannot be created: {error}.",
            "Use a folder that this user may write to.",
        )
SECRET_KEY = load_secret(env, "SECRET_KEY", VAR / "secrets")
SUPPRESSION_KEY = load_secret(env, "SUPPRESSION_KEY", VAR / "secrets")
DEBUG = env.flag("DEBUG", False)

SITE_URL = env.parse(
    "SITE_URL",
    "http://127.0.0.1:8000",
    parsers.parse_site_url,
    "Use scheme and host only: https://papers.example.org.",
)
SITE_NAME = env.text("SITE_NAME", "Paper Round")
HTTPS = SITE_URL.startswith("https://")
BEHIND_PROXY = env.flag("BEHIND_PROXY", False)
# Number of proxies that append to X-Forwarded-For.
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", int(BEHIND_PROXY))
ALLOWED_HOSTS = [urlsplit(SITE_URL).hostname or "localhost", "localhost", "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = [SITE_URL]

INSTALLED_APPS = [
    "digest",  # before the admin apps: its templates override theirs
    "accounts",
    "unfold",
    "django.contrib.admin.apps.SimpleAdminConfig",  # digest.urls registers the admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "csp",
    "django_htmx",  # its static files
]

MIDDLEWARE = [
    "digest.site.health.AliveMiddleware",
    "digest.log_context.RequestLogMiddleware",
    "digest.site.metrics.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "digest.site.static_files.HashedFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "digest.admin.unfold.AdminPolicyMiddleware",
    "digest.site.request_limits.BodyLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.staff_sign_in.StaffAccessMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "digest.urls"
WSGI_APPLICATION = "digest.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": f"django.contrib.auth.password_validation.{name}",
        "OPTIONS": options,
    }
    for name, options in {
        "MinimumLengthValidator": {"min_length": 10},
        "UserAttributeSimilarityValidator": {"user_attributes": ("email", "name")},
        "CommonPasswordValidator": {},
        "NumericPasswordValidator": {},
    }.items()
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [ROOT / "templates"],
        "OPTIONS": {
            "environment": "digest.jinja.environment",
            "context_processors": ["digest.jinja.site"],
        },
    },
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"admin_links": "digest.admin.links"},
        },
    },
]

# A wrong DATABASE_URL gets a backend that refuses every query.
NO_DATABASE = {"ENGINE": "django.db.backends.dummy", "NAME": ""}
SQLITE_URL = f"sqlite:///{VAR / 'paper-round.sqlite3'}"
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.parse(
        "DATABASE_URL",
        NO_DATABASE,
        parsers.parse_database_url,
        "Use postgres://user:password@host/name or sqlite:////absolute/path.",
    )
    if env.variables.get("DATABASE_URL", "").strip()
    else parsers.parse_database_url(SQLITE_URL)
}
# SQLite serves one machine: with IMMEDIATE transactions writers wait for each other
# instead of failing, and with WAL readers do not wait for writers.
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

# Redis holds the queue and the rate limits. Without it the service runs on one machine:
# the queue is kept in files, the limits in the memory of the one web process.
REDIS_URL = env.parse(
    "REDIS_URL", "", parsers.parse_redis_url, "Use redis://host:6379/0."
)
IN_MEMORY = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "OPTIONS": {"MAX_ENTRIES": 10_000},
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Seconds that a page waits for Redis.
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
    if REDIS_URL
    else IN_MEMORY,
    # Rendered public pages, of one web process each: at most 300 of about 50 KB.
    "pages": IN_MEMORY | {"LOCATION": "pages", "OPTIONS": {"MAX_ENTRIES": 300}},
    # Used while Redis is down.
    "process": IN_MEMORY | {"LOCATION": "process"},
}

# Queues that need a worker each; alarms watch their heartbeats.
WORKER_QUEUES = ("celery", "urgent")

# Time: UTC in the database; TIME_ZONE for the admin, FREEZE_AT and the days.
USE_TZ = True
USE_I18N = False
LANGUAGE_CODE = "en"
TIME_ZONE = env.parse(
    "TIME_ZONE", "UTC", parsers.parse_time_zone, "Use a name such as Europe/Berlin."
)
FORMAT_MODULE_PATH = ["digest.formats"]
FREEZE_AT = env.parse(
    "FREEZE_AT", time(9), parsers.parse_time, "Use hours and minutes: 09:00."
)

# Sources.
ARXIV_FEED_URL = env.url("ARXIV_FEED_URL", "https://rss.arxiv.org/atom")
ARXIV_API_URL = env.url("ARXIV_API_URL", "https://export.arxiv.org/api/query")
# Empty disables OAI-PMH; not set is the default.
ARXIV_OAI_URL = (
    ""
    if env.variables.get("ARXIV_OAI_URL", "-").strip() == ""
    else env.url("ARXIV_OAI_URL", "https://oaipmh.arxiv.org/oai")
)
CATEGORIES_HINT = "Use categories and archives of arXiv: cs.LG,stat.ML,math."
ARXIV_CATEGORIES = env.parse(
    "ARXIV_CATEGORIES",
    # One or more of each listed topic.
    [
        *("cs.AI", "cs.CL", "cs.CR", "cs.CV", "cs.IR", "cs.LG", "cs.RO", "cs.SD"),
        *("stat.ML", "q-bio.BM", "q-bio.QM"),
        *("cond-mat.mtrl-sci", "physics.chem-ph", "quant-ph"),
    ],
    parsers.parse_categories,
    CATEGORIES_HINT,
)
if env.variables.get("ARXIV_CATEGORIES", "-").strip() == "":
    env.add_problem("ARXIV_CATEGORIES", "names no category.", CATEGORIES_HINT)
# Evenings without an announcement, in addition to the shipped list.
ARXIV_HOLIDAYS = env.parse(
    "ARXIV_HOLIDAYS",
    frozenset[date](),
    parsers.parse_dates,
    "Use dates separated by commas: 2027-01-01,2027-01-18.",
)
HUGGINGFACE_URL = env.url("HUGGINGFACE_URL", "https://huggingface.co")
READER_SUBMISSIONS = env.flag("READER_SUBMISSIONS", False)
# Whether to copy the images that Hugging Face shows beside papers, and show them.
THUMBNAILS = env.flag("THUMBNAILS", False)

# Ranking. A sentence-transformers model, relative to the project, or the packaged one; None
# for TF-IDF and SVD.
EMBEDDING_FOLDER = env.parse(
    "EMBEDDING_FOLDER",
    None,
    lambda text: (
        ROOT / "digest/ranking/minilm"
        if text == "minilm"
        else ROOT / parsers.parse_line(text)
    ),
    'Use "minilm", or the folder of a sentence-transformers model.',
)

# Mail.
# The demo shows the mails in MAIL_DIR on a page.
DEMO = env.flag("PAPER_ROUND_DEMO", False)
MAIL_TRANSPORT = env.choice("MAIL_TRANSPORT", "files", ("files", "smtp", "sendgrid"))
MAIL_DIR = env.folder("MAIL_DIR", VAR / "mail")
MAIL_FROM = env.parse(
    "MAIL_FROM",
    f"{SITE_NAME} <papers@localhost>",
    parsers.parse_mail_from,
    "Use the form: Paper Round <papers@example.org>.",
)
# Whether someone reads what readers answer to MAIL_FROM; the first digest says so.
REPLIES_ARE_READ = env.flag("REPLIES_ARE_READ", False)
POSTAL_ADDRESS = env.text("POSTAL_ADDRESS")
# Who answers for the site; the imprint and /.well-known/security.txt name them.
OPERATOR = env.text("OPERATOR")
CONTACT_EMAIL = env.parse(
    "CONTACT_EMAIL",
    "",
    parsers.parse_address,
    "Use an address that somebody reads: papers@example.org.",
)
SMTP_URL = env.parse(
    "SMTP_URL",
    "smtp://localhost:1025",
    parsers.parse_smtp_url,
    "Use smtp://, smtps:// or smtp+tls://user:password@host:port.",
)
SENDGRID_API_KEY = env.key("SENDGRID_API_KEY")
SENDGRID_API_URL = env.url("SENDGRID_API_URL", "https://api.sendgrid.com")
SENDGRID_WEBHOOK_KEY = env.parse(
    "SENDGRID_WEBHOOK_KEY",
    "",
    parsers.parse_webhook_key,
    "Copy the verification key from SendGrid: one line of base64 without BEGIN and END.",
)
# The SNS topic that Amazon SES publishes its events to.
SES_TOPIC_ARN = env.parse(
    "SES_TOPIC_ARN",
    "",
    parsers.parse_topic_arn,
    "Use the topic's ARN: arn:aws:sns:eu-central-1:123456789012:paper-round.",
)
# The password in the URL of Postmark's webhooks.
POSTMARK_WEBHOOK_PASSWORD = env.key("POSTMARK_WEBHOOK_PASSWORD")
# Receives what is reported by mail: bounces, complaints and requests to unsubscribe.
BOUNCE_ADDRESS = env.parse(
    "BOUNCE_ADDRESS",
    "",
    parsers.parse_bounce_address,
    "Use an address such as bounces@papers.example.org.",
)
# The mailbox of that address, if it is polled.
BOUNCE_IMAP_URL = env.parse(
    "BOUNCE_IMAP_URL",
    "",
    parsers.parse_imap_url,
    "Use imaps://user:password@host/INBOX, with special characters percent-encoded.",
)
# Whether to ask the SMTP server for a report on every mail (RFC 3461).
SMTP_SUCCESS_REPORTS = env.flag("SMTP_SUCCESS_REPORTS", False)
# Calls in flight of one worker process, each over a connection of its own; 0 is the
# transport's default. Mail servers often allow few connections of one client.
MAIL_CONCURRENCY = (
    # Each call has a thread and a connection.
    env.integer("MAIL_CONCURRENCY", 0, maximum=256)
    or {"files": 1, "smtp": 4, "sendgrid": 32}[MAIL_TRANSPORT]
)
# Mails per second of all workers together; 0 is unlimited.
MAIL_RATE = env.number("MAIL_RATE", 0.0)
# Minutes after which an unknown digest is sent again; 0 is never.
UNKNOWN_RESEND_AFTER = env.number("UNKNOWN_RESEND_AFTER", 0.0)
# Days for which digests are kept; 0 is forever.
DIGESTS_KEPT = env.integer("DIGESTS_KEPT", 400, minimum=30)
# Whether links in mails use a redirect that counts clicks.
CLICK_REDIRECT = env.flag("CLICK_REDIRECT", True)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = MAIL_FROM
EMAIL_BACKEND = {
    "files": "digest.mailer.transports.files.EmailBackend",
    "smtp": "digest.mailer.transports.smtp.EmailBackend",
    "sendgrid": "digest.mailer.transports.sendgrid.EmailBackend",
}[MAIL_TRANSPORT]

# Pages.
STATIC_URL = "static/"
# Served from the packages, so that no collectstatic step is needed.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 600  # of addresses without a hash
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "digest.site.static_files.HashedStorage"},
}

# Security.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "style-src": ["'self'"],
        "script-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
SECURE_REFERRER_POLICY = "same-origin"  # URLs of pages hold readers' keys
CSRF_FAILURE_VIEW = "digest.site.errors.csrf_failure"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
# The largest body of any request; request_limits.py bounds most to less. A reading list
# may have 1 MB beside its form, a webhook post 768 KB.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000

# The admin in the brick red of the pages: lightness and chroma of each shade.
BRICK_SHADES = {
    "50": (97.4, 0.012),
    "100": (94.2, 0.026),
    "200": (88.9, 0.052),
    "300": (81.0, 0.091),
    "400": (70.8, 0.132),
    "500": (61.0, 0.152),
    "600": (50.5, 0.146),
    "700": (43.5, 0.125),
    "800": (37.5, 0.100),
    "900": (32.5, 0.080),
    "950": (22.0, 0.055),
}
UNFOLD = {
    "COLORS": {
        "primary": {
            shade: f"oklch({light}% {chroma} 33)"
            for shade, (light, chroma) in BRICK_SHADES.items()
        }
    },
    "SITE_TITLE": SITE_NAME,
    "SITE_HEADER": SITE_NAME,
    "SITE_SYMBOL": "mark_email_read",
    "SHOW_HISTORY": True,
    "STYLES": [lambda request: static("digest/admin.css")],
    "DASHBOARD_CALLBACK": "digest.admin.dashboard.dashboard_context",
    "ACCOUNT": {
        "navigation": [
            {
                "title": "Two-factor authentication",
                "link": reverse_lazy("admin:accounts_user_two_factor"),
            },
            {
                "title": "Weekly report",
                "link": reverse_lazy("admin:accounts_user_weekly_report"),
            },
        ]
    },
    "SIDEBAR": {"navigation": "digest.admin.unfold.sidebar_navigation"},
}
LOGIN_REDIRECT_URL = "admin:index"
# Whether staff must set up an authenticator app before they can use the admin.
REQUIRE_TWO_FACTOR = env.flag("REQUIRE_TWO_FACTOR", HTTPS)
OTP_TOTP_ISSUER = SITE_NAME
# The page that accounts links to from its mails, with a link's key as argument.
PREFERENCES_URL_NAME = "preferences"

# Metrics for Prometheus at /metrics, with this token; none without.
METRICS_TOKEN = env.key("METRICS_TOKEN")
# Error reports to a Sentry server, redacted; needs the extra `sentry`.
SENTRY_DSN = env.url("SENTRY_DSN", "")
if SENTRY_DSN:
    from digest.error_reports import start_sentry

    start_sentry(SENTRY_DSN)

# Logs: one line per event, with keys and values or as JSON.
LOG_FORMAT = env.choice("LOG_FORMAT", "text", ("text", "json"))
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        *(
            [structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
            if LOG_FORMAT == "json"
            else [
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(
                    key_order=["timestamp", "level", "event"]
                ),
            ]
        ),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
LOG_LEVEL = env.parse(
    "LOG_LEVEL", "INFO", parsers.parse_log_level, "Use INFO, WARNING or ERROR."
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"expected": {"()": "digest.log_redaction.ExpectedErrorFilter"}},
    "formatters": {"redacting": {"()": "digest.log_redaction.create_formatter"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "redacting",
            "filters": ["expected"],
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Two lines for each task, several tasks a minute: tasks log what they did.
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.worker.consumer": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "flufl.bounce": {"level": "WARNING"},
        "mail.log": {"level": "WARNING"},  # aiosmtpd: peers and commands
        # At DEBUG it logs the API key and the payload with the reader's address.
        "python_http_client": {"level": "WARNING"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
