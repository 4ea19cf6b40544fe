"""Run the service through seven simulated days: gunicorn behind Caddy, two workers, beat, PostgreSQL and Redis.

    python -m tests.soak --readers 2000 [--visitors 200] [--days 7] [--seed 1]

arXiv announces papers by its calendar, readers of 24 time zones are mailed at their hours,
visitors read pages, and at given times something is killed, restarted, refused or flooded.
Time passes as it does while there is work, and is skipped otherwise (clock.py).

The last line is JSON. The exit status is 1 if a due digest was not delivered once and within
its hour, a page failed while PostgreSQL ran, memory grew, an error was logged that no fault
explains, or an edition does not reconcile; 130 if the run was stopped before its end.
"""

import argparse
import os
import signal
import sys
from contextlib import ExitStack

from tests.chaos import servers


def main():
    options = read_options()
    with ExitStack() as stack:
        world = stack.enter_context(servers.start_servers())
        os.environ |= {"DATABASE_URL": world.database, "REDIS_URL": world.redis}
        import tests.environment  # noqa: F401  configures Django
        from tests.soak.run import Soak

        soak = Soak(options, world, stack)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
        try:
            soak.run()
        except (KeyboardInterrupt, SystemExit):
            soak.report("stopped")
            soak.print_result(complete=False)
            sys.exit(130)
        result = soak.print_result(complete=True)
    sys.exit(bool(result["problems"]))


def read_options():
    parser = argparse.ArgumentParser(prog="tests.soak")
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--visitors", type=int, default=200)
    parser.add_argument(
        "--pause", type=float, default=25, help="seconds between two pages of a visitor"
    )
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--log", help="file to copy the log of all processes to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
