"""The command line: what each verb calls, which is one importable function.

Modules that train or score are imported only by the verbs that need them. Exit status: 0 done,
2 the user's mistake (one message, no traceback), 1 a defect of ours (with its traceback), 130
stopped with Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from absl import app, logging
from rich.console import Console

from algoperf import arguments
from algoperf.cli.scores import compare, diagnose, score, verify
from algoperf.cli.showing import data_check, data_list, data_prepare, doctor, list_
from algoperf.cli.training import check, run, targets
from algoperf.errors import UserError
from algoperf.inputs.extra import DATA_VARIABLE


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the `algoperf` command."""
    logging.set_verbosity(logging.WARNING)
    app.run(_dispatch, argv=list(argv or sys.argv), flags_parser=arguments.parse)


def _dispatch(asked: argparse.Namespace) -> int:
    options = dict(vars(asked))
    verb = " ".join(filter(None, (options.pop("verb"), options.pop("action", None))))
    if (data := options.pop("data", None)) is not None:
        os.environ[DATA_VARIABLE] = str(data)  # trials in other processes read it too
    try:
        VERBS[verb](**options)
    except UserError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 2
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped. What was recorded stays; the same command goes on from there."
        )
        return 130
    return 0


VERBS: Mapping[str, Callable[..., None]] = {
    "list": list_,
    "check": check,
    "run": run,
    "score": score,
    "compare": compare,
    "verify": verify,
    "diagnose": diagnose,
    "targets": targets,
    "data": data_list,
    "data prepare": data_prepare,
    "data check": data_check,
    "doctor": doctor,
}
"""What each verb calls."""
