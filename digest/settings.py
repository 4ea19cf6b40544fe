"""One file for every machine: the environment says only what differs between machines. README.md has a row for each."""

import contextlib
import os
import secrets
from datetime import time
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from django.urls import reverse_lazy
from environs import Env

ROOT = Path(__file__).resolve().parent.parent
env = Env()
VAR = Path(env("VAR_DIR", str(ROOT / "var")))


def kept_secret(name: str) -> str:
    """The secret of this name: from the environment, else made once and kept under VAR (see the checks)."""
    if given := env.str(name, ""):
        return given
    path = VAR / "secrets" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        # Whole or not at all, and the first of several processes wins.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text()


SECRET_KEY = kept_secret("SECRET_KEY")
SUPPRESSION_KEY = kept_secret("SUPPRESSION_KEY")
DEBUG = env.bool("DEBUG", False)

SITE_URL = env("SITE_URL", "http://127.0.0.1:8000").rstrip("/")
SITE_NAME = env("SITE_NAME", "Paper Round")
HTTPS = SITE_URL.startswith("https://")
BEHIND_PROXY = env.bool("BEHIND_PROXY", False)
# How many proxies append to X-Forwarded-For before a request arrives here.
_proxies = env("TRUSTED_PROXIES", "")
TRUSTED_PROXIES = int(_proxies) if _proxies.isdecimal() else int(BEHIND_PROXY)
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
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "digest.admin.policy.AdminPolicyMiddleware",
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

# Rows. SQLite is for one machine: writers queue instead of failing (IMMEDIATE),
# and readers do not wait for them (WAL).
DATABASES = {
    "default": env.dj_db_url(
        "DATABASE_URL", f"sqlite:///{VAR / 'paper-round.sqlite3'}", conn_max_age=60
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    VAR.mkdir(parents=True, exist_ok=True)
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

# Redis for the broker and the limits; without it we run embedded, on one
# machine: broker in folders, limits in the memory of the one web process.
REDIS_URL = env("REDIS_URL", "")
IN_MEMORY = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "OPTIONS": {"MAX_ENTRIES": 10_000},
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Seconds: no visitor waits for a Redis that hangs.
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
    if REDIS_URL
    else IN_MEMORY,
    # What counts on while Redis is away.
    "process": IN_MEMORY | {"LOCATION": "process"},
}

# Time. Rows are UTC; the editors' morning is in TIME_ZONE.
USE_TZ = True
USE_I18N = False
LANGUAGE_CODE = "en"
TIME_ZONE = env("TIME_ZONE", "UTC")
DATE_FORMAT, TIME_FORMAT, DATETIME_FORMAT = "j M Y", "H:i", "j M Y, H:i"
FREEZE_AT = time.fromisoformat(env("FREEZE_AT", "09:00"))

# Listings.
ARXIV_FEED_URL = env("ARXIV_FEED_URL", "https://rss.arxiv.org/atom").rstrip("/")
ARXIV_API_URL = env("ARXIV_API_URL", "https://export.arxiv.org/api/query")
ARXIV_OAI_URL = env("ARXIV_OAI_URL", "https://oaipmh.arxiv.org/oai")
ARXIV_CATEGORIES = env.list(
    "ARXIV_CATEGORIES",
    ["cs.AI", "cs.CL", "cs.CR", "cs.CV", "cs.IR", "cs.LG", "cs.RO", "cs.SD", "stat.ML"],
)
HUGGINGFACE_URL = env("HUGGINGFACE_URL", "https://huggingface.co").rstrip("/")
# Whether readers may submit papers, for an editor to approve.
READER_SUBMISSIONS = env.bool("READER_SUBMISSIONS", False)

# Ranking. The folder of a sentence-transformers model that makes the vectors, from the
# project's if it is relative; None where they are fitted here.
_folder = env("EMBEDDING_FOLDER", "")
EMBEDDING_FOLDER = ROOT / _folder if _folder else None

# Mail.
# A demo shows the mails that it writes to MAIL_DIR on a page.
DEMO = env.bool("PAPER_ROUND_DEMO", False)
MAIL_TRANSPORT = env("MAIL_TRANSPORT", "files")
MAIL_DIR = Path(env("MAIL_DIR", str(VAR / "mail")))
MAIL_FROM = env("MAIL_FROM", f"{SITE_NAME} <papers@localhost>")
POSTAL_ADDRESS = env("POSTAL_ADDRESS", "")
SMTP_URL = env("SMTP_URL", "smtp://localhost:1025")
SENDGRID_API_KEY = env("SENDGRID_API_KEY", "")
SENDGRID_API_URL = env("SENDGRID_API_URL", "https://api.sendgrid.com").rstrip("/")
SENDGRID_WEBHOOK_KEY = env("SENDGRID_WEBHOOK_KEY", "")
# Mails a second, of all workers together; 0 is as fast as it goes.
MAIL_RATE = env.float("MAIL_RATE", 0.0)
# Minutes after which a digest of which nothing is known is sent once more; 0 is never.
UNKNOWN_RESEND_AFTER = env.float("UNKNOWN_RESEND_AFTER", 0.0)
# Days for which we know who was mailed what; 0 is for ever.
DIGESTS_KEPT = env.int("DIGESTS_KEPT", 400)
# Whether links in mails pass our own redirect, so that clicks teach the ranking.
CLICK_REDIRECT = env.bool("CLICK_REDIRECT", True)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = MAIL_FROM
EMAIL_BACKEND = {
    "files": "digest.mailer.transports.files.EmailBackend",
    "smtp": "digest.mailer.transports.smtp.EmailBackend",
    "sendgrid": "digest.mailer.transports.sendgrid.EmailBackend",
}.get(
    MAIL_TRANSPORT, "digest.mailer.transports.files.EmailBackend"
)  # the checks name a wrong one

# Pages.
STATIC_URL = "static/"
# Served from where they lie, the same on every machine: no collecting step that
# somebody can forget.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 600

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
SECURE_REFERRER_POLICY = "same-origin"  # addresses of pages hold readers' keys
CSRF_FAILURE_VIEW = "digest.site.errors.csrf_failure"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(health|alive)$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
# The largest body of any request; request_limits.py bounds most to less. A reading list
# may have 1 MB beside its form, a webhook post 768 KB.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000

# The control room, in the brick red of the pages: lightness and chroma of each shade.
BRICK = {
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
            for shade, (light, chroma) in BRICK.items()
        }
    },
    "SITE_TITLE": SITE_NAME,
    "SITE_HEADER": SITE_NAME,
    "SITE_SYMBOL": "mark_email_read",
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "digest.admin.dashboard.dashboard_context",
    "ACCOUNT": {
        "navigation": [
            {
                "title": "Two-factor authentication",
                "link": reverse_lazy("admin:accounts_user_two_factor"),
            }
        ]
    },
    "SIDEBAR": {"navigation": "digest.admin.sidebar.sidebar_navigation"},
}
LOGIN_REDIRECT_URL = "admin:index"
# Whether staff must set up an authenticator app before they can use the admin.
REQUIRE_TWO_FACTOR = env.bool("REQUIRE_TWO_FACTOR", HTTPS)
OTP_TOTP_ISSUER = SITE_NAME
# The page that accounts links to from its mails, with a link's key as argument.
PREFERENCES_URL_NAME = "preferences"

# Logs: one line an event, keys that can be searched.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(
            key_order=["timestamp", "level", "event"]
        ),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"redacting": {"()": "digest.log_redaction.RedactingFormatter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "redacting"}
    },
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
