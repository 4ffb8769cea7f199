"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: 0 done, 1 the run failed, 2 something to mend in the input, 130 interrupted."""
    from paretune.cli.app import app
    from paretune.cli.console import complain
    from paretune.core.errors import Misconfigured, ParetuneError, Paused
    from paretune.store import UnknownJob, UnknownKey, UnknownRun

    try:
        app()
    except (Misconfigured, UnknownRun, UnknownJob, UnknownKey) as error:
        complain(str(error))
        sys.exit(2)
    except Paused as error:
        complain(f"{error}; go on with: paretune resume")
        sys.exit(130)
    except ParetuneError as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
