"""Parse settings from environment variables, and collect the values that cannot work.

A wrong value does not raise: the default takes its place and `digest.checks` reports the
problem with a hint, so that every command and server ends with a readable message.
"""

import base64
import binascii
import contextlib
import logging
import math
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from email.utils import parseaddr
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import SplitResult, urlsplit
from zoneinfo import available_timezones

import dj_database_url
import idna

from digest.text.arxiv_categories import normalize_categories, unknown_categories

T = TypeVar("T")

TRUE_WORDS, FALSE_WORDS = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}
MAX_TEXT_LENGTH = 500
DATABASE_SCHEMES = ("postgres", "postgresql", "sqlite")
# Secrets, which may be given by a file: SECRET_KEY_FILE=/run/secrets/secret_key.
FILE_SETTINGS = (
    *("SECRET_KEY", "SUPPRESSION_KEY", "DATABASE_URL", "REDIS_URL", "SMTP_URL"),
    *("SENDGRID_API_KEY", "SENDGRID_WEBHOOK_KEY", "BOUNCE_IMAP_URL", "EDITOR_PASSWORD"),
    *("METRICS_TOKEN", "POSTMARK_WEBHOOK_PASSWORD"),
)
# A local part has at most 64 characters (RFC 5321), and a tag takes 31.
MAX_BOUNCE_LOCAL_CHARS = 32
EC_KEY_HEADER = b"0Y0\x13"  # DER of a P-256 public key


class Problem(NamedTuple):
    setting: str
    message: str
    hint: str


class Environment:
    """Typed access to environment variables; an empty variable counts as not set."""

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        self.problems: list[Problem] = []
        self.variables = {**variables, **self.read_secret_files(variables)}

    def read_secret_files(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Read the settings that are given as NAME_FILE, as Docker and systemd provide secrets."""
        contents = {}
        for name in FILE_SETTINGS:
            path = variables.get(f"{name}_FILE", "").strip()
            if not path:
                continue
            if variables.get(name, "").strip():
                self.add_problem(name, f"and {name}_FILE are both set.", "Set one.")
            try:
                contents[name] = Path(path).read_text()
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it is not text"
                hint = f"Let {name}_FILE name a file that this user may read."
                self.add_problem(f"{name}_FILE", f"cannot be read: {reason}.", hint)
        return contents

    def add_problem(self, setting: str, message: str, hint: str) -> None:
        self.problems.append(Problem(setting, f"{setting} {message}", hint))

    def parse(self, name: str, default: T, parser: Callable[[str], T], hint: str) -> T:
        """Return the parsed variable, or the default if it is not set or wrong.

        `parser` raises ValueError with the end of a sentence that the name begins. The
        message never holds the value, which may be a secret.
        """
        text = self.variables.get(name, "").strip()
        if not text:
            return default
        try:
            return parser(text)
        except ValueError as error:
            self.add_problem(name, str(error), hint)
            return default

    def text(self, name: str, default: str = "") -> str:
        hint = f"Use one line of at most {MAX_TEXT_LENGTH} characters."
        return self.parse(name, default, parse_line, hint)

    def key(self, name: str, default: str = "") -> str:
        hint = "Copy the key again, without spaces, quotes or line breaks."
        return self.parse(name, default, parse_key, hint)

    def flag(self, name: str, default: bool) -> bool:
        return self.parse(name, default, parse_flag, "Use true or false.")

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        def parser(text: str) -> str:
            match = {choice.lower(): choice for choice in choices}.get(text.lower())
            if match is None:
                raise ValueError(f"is none of {', '.join(choices)}.")
            return match

        return self.parse(name, default, parser, f"Use one of {', '.join(choices)}.")

    def number(self, name: str, default: float) -> float:
        return self.parse(
            name, default, parse_number, "Use a number such as 0 or 12.5."
        )

    def integer(
        self, name: str, default: int, minimum: int = 0, maximum: int | None = None
    ) -> int:
        """A whole number that is 0 or at least `minimum`, and at most `maximum`."""
        hint = f"Use 0, or {max(minimum, 1)} or more."
        if maximum is not None:
            hint = f"Use 0, or {max(minimum, 1)} to {maximum}."

        def parser(text: str) -> int:
            if not (text.isascii() and text.isdecimal()):
                raise ValueError("is not a whole number.")
            number = int(text[:20])
            if 0 < number < minimum:
                raise ValueError(f"is below {minimum}.")
            if maximum is not None and number > maximum:
                raise ValueError(f"is above {maximum}.")
            return number

        return self.parse(name, default, parser, hint)

    def url(
        self, name: str, default: str, schemes: Sequence[str] = ("https", "http")
    ) -> str:
        def parser(text: str) -> str:
            split_url(text, schemes)
            return text.rstrip("/")

        hint = f"Use a URL such as {schemes[0]}://host.example."
        return self.parse(name, default, parser, hint)

    def folder(self, name: str, default: Path) -> Path:
        hint = "Use an absolute path of a folder that this user may write to."
        return self.parse(name, default, parse_folder, hint)


def parse_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a line break or a control character.")
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"is longer than {MAX_TEXT_LENGTH} characters.")
    return text


def parse_key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or set(text) & set(" '\""):
        raise ValueError(
            "holds a space, a quote, a line break or a letter beyond ASCII."
        )
    return text


def parse_secret(text: str) -> str:
    if not text.isascii() or not text.isprintable() or text[0] in "'\"":
        raise ValueError("is quoted, or holds a line break or a letter beyond ASCII.")
    return text


def parse_flag(text: str) -> bool:
    if text.lower() not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError("is neither true nor false.")
    return text.lower() in TRUE_WORDS


def parse_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is not a number.") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError("is negative or not finite.")
    return number


def parse_folder(text: str) -> Path:
    path = Path(parse_line(text))
    existing = next(
        (folder for folder in (path, *path.parents) if folder.exists()), path
    )
    if not existing.is_dir():
        raise ValueError("is not a folder.")
    if not os.access(existing, os.W_OK | os.X_OK) or Path("/proc") in (
        existing,
        *existing.parents,
    ):
        raise ValueError("is not writable.")
    return path


def split_url(text: str, schemes: Sequence[str]) -> SplitResult:
    parts = urlsplit(parse_key(text))
    if parts.scheme not in schemes or "://" not in text:
        raise ValueError(
            f"does not begin with {' or '.join(f'{s}://' for s in schemes)}."
        )
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("has an invalid port.")
    if not parts.hostname or not re.fullmatch(r"[\w.:-]+", parts.hostname):
        raise ValueError("has no valid host name.")
    return parts


def parse_site_url(text: str) -> str:
    """The public URL without a trailing slash, its host name as punycode."""
    scheme, separator, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    try:
        if not host.isascii():
            host = idna.encode(host.partition(":")[0], uts46=True).decode() + (
                ":" + host.partition(":")[2] if ":" in host else ""
            )
    except idna.IDNAError:
        raise ValueError("has no valid host name.") from None
    parts = split_url(f"{scheme}{separator}{host}{slash}{path}", ("https", "http"))
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("holds a path; the site is served at the root of a host.")
    if parts.username is not None:
        raise ValueError("holds a user name.")
    return f"{parts.scheme}://{parts.netloc}"


def parse_redis_url(text: str) -> str:
    if urlsplit(parse_key(text)).scheme == "unix":
        return text
    parts = split_url(text, ("redis", "rediss"))
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("does not end with the number of a database.")
    return text


def parse_smtp_url(text: str) -> str:
    split_url(text, ("smtp", "smtps", "smtp+tls"))
    return text


def parse_database_url(text: str) -> Any:
    scheme, separator, _ = parse_key(text).partition("://")
    if scheme not in DATABASE_SCHEMES or not separator:
        raise ValueError("does not begin with postgres:// or sqlite://.")
    try:
        config = dj_database_url.parse(text, conn_max_age=60)
    except (ValueError, dj_database_url.UnknownSchemeError):
        raise ValueError("cannot be parsed.") from None
    if not config["NAME"]:
        raise ValueError("names no database.")
    return config


def parse_mail_from(text: str) -> str:
    _, address = parseaddr(parse_line(text))
    local, at, domain = address.rpartition("@")
    if not (local and at and domain and domain.isascii()) or set(address) & set(" ,<>"):
        raise ValueError("is not an email address.")
    return text


def parse_address(text: str) -> str:
    """Return an address without its display name."""
    return parseaddr(parse_mail_from(text))[1]


def parse_bounce_address(text: str) -> str:
    """An address whose local part leaves room for a tag (accounts.return_paths)."""
    local, at, domain = parse_key(text).rpartition("@")
    if not (
        at and re.fullmatch(r"[\w.-]+", local) and re.fullmatch(r"[\w.-]+", domain)
    ):
        raise ValueError("is not an address without a plus sign.")
    if len(local) > MAX_BOUNCE_LOCAL_CHARS:
        raise ValueError(f"has more than {MAX_BOUNCE_LOCAL_CHARS} characters before @.")
    return text


def parse_imap_url(text: str) -> str:
    parts = split_url(text, ("imaps", "imap"))
    if not (parts.username and parts.password):
        raise ValueError("holds no user and password.")
    return text


def parse_webhook_key(text: str) -> str:
    if "BEGIN" in text:
        raise ValueError("is a PEM block.")
    try:
        key = base64.b64decode(parse_key(text), validate=True)
    except binascii.Error:
        raise ValueError("is not base64.") from None
    if not key.startswith(EC_KEY_HEADER):
        raise ValueError("is not a public key of SendGrid.")
    return text


def parse_topic_arn(text: str) -> str:
    if not re.fullmatch(r"arn:aws(-cn|-us-gov)?:sns:[a-z0-9-]+:\d{12}:[\w-]+", text):
        raise ValueError("is not the ARN of an SNS topic.")
    return text


def parse_categories(text: str) -> list[str]:
    names = normalize_categories(text.split(","))
    if not names:
        raise ValueError("names no category.")
    if unknown := unknown_categories(names):
        shown = ", ".join(repr(name[:40]) for name in unknown)
        raise ValueError(f"holds {shown}: not a category or archive of arXiv.")
    return names


def parse_dates(text: str) -> frozenset[date]:
    try:
        return frozenset(date.fromisoformat(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("is not a list of dates.") from None


def parse_time(text: str) -> time:
    if not re.fullmatch(r"\d\d:\d\d", text, re.ASCII):
        raise ValueError("is not a time of day.")
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a time of day.") from None


def parse_time_zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError("is not a time zone of the IANA database.")
    return text


def parse_log_level(text: str) -> str:
    if not isinstance(logging.getLevelName(text.upper()), int):
        raise ValueError("is not a log level.")
    return text.upper()


def load_secret(env: Environment, name: str, folder: Path) -> str:
    """Return a secret from the environment, or one generated and stored in `folder`."""
    hint = f"Use a random string, such as the output of: openssl rand -base64 48. Keep {name} secret."
    if secret := env.parse(name, "", parse_secret, hint):
        return secret
    path = folder / name
    try:
        if not path.exists():
            store_new_secret(path)
        return parse_secret(path.read_text(errors="replace"))
    except (ValueError, IndexError):
        hint = f"Restore the file from a backup, or set {name}. {DAMAGED_SECRET_HINTS[name]}"
        env.add_problem(name, f"is stored in a damaged file: {path}.", hint)
    except OSError as error:
        hint = f"Set {name}, or set VAR_DIR to a folder that this user may write to."
        env.add_problem(name, f"cannot be stored: {error}.", hint)
    return secrets.token_urlsafe(50)


DAMAGED_SECRET_HINTS = {
    "SECRET_KEY": "If you delete the file, staff must log in again.",
    "SUPPRESSION_KEY": "If you delete the file, suppressed addresses are mailed again.",
}


def store_new_secret(path: Path) -> None:
    """Generate a secret and store it, unless another process was first.

    It is on the disk before it has its name: a power cut leaves it whole or absent.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft.touch(mode=0o600)
    with draft.open("w") as file:
        file.write(secrets.token_urlsafe(50))
        file.flush()
        os.fsync(file.fileno())
    # link() is atomic and fails if the file exists: the first process wins.
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
