"""The dashboard's figures made by a process of their own: those of 100,000 images keep a processor busy for long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tenfold.core.errors import TenfoldError
from tenfold.core.workspace import Workspace
from tenfold.review.begun import review_settings
from tenfold.review.config import ReviewConfig
from tenfold.review.run import dashboard
from tenfold.review.store import DATABASE, Store

_LOWER_PRIORITY = 10


def dashboard_apart(workspace: Workspace) -> dict[str, Any]:
    """`run.dashboard` of the workspace's review, whose reviewers do not wait for it.

    Raises:
        TenfoldError: the figures cannot be made.
    """
    command = [sys.executable, "-P", "-m", __name__, str(workspace.path)]  # -P: no module of the current folder
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TenfoldError(
            "the dashboard's figures cannot be made", where=str(workspace.path),
            expected="a review that can be read", todo=(done.stderr.strip().splitlines() or ["Try again."])[-1],
        )  # fmt: skip
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def main(folder: str) -> None:
    """Print the figures of a workspace's review as JSON."""
    os.nice(_LOWER_PRIORITY)
    workspace = Workspace.open(folder)
    config = review_settings(workspace) or ReviewConfig.model_validate({})
    with Store.open(workspace.resolve(DATABASE)) as store:
        print(json.dumps(dashboard(store, config, workspace)))


if __name__ == "__main__":
    main(sys.argv[1])
