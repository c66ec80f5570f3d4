"""The ``hatcnn`` command: find the subcommand, run it, turn mendable errors into exit 2."""

from __future__ import annotations

import importlib
import os
import sys

from hatcnn import __version__
from hatcnn.errors import ConfigError, HatcnnError, nearest_names

COMMANDS = {
    "demo": "train and evaluate on synthetic people, end to end, in minutes",
    "data": "inspect, pack or synthesize a data set",
    "train": "train a recipe",
    "experiments": "run a plan of recipes and seeds, resume it, tabulate what came of it",
    "reproduce": "write the paper's table and figures from finished runs",
    "evaluate": "rank a gallery with a trained network and report how well",
    "tune": "choose the attributes' weight in the ranking, on people kept out of training",
    "reduce": "make a network's vectors shorter, and measure what that costs",
    "calibrate": "find out what scores mean: probabilities, and thresholds by error rate",
    "embed": "turn pictures into vectors and attributes",
    "explain": "draw where the network looked, or what made two pictures alike",
    "gallery": "keep, search, describe and forget people",
    "export": "make a network for ONNX Runtime or OpenVINO, checked against torch",
    "serve": "a gallery behind an address: HTTP API",
    "bench": "measure speed and memory against the plain form and the machine's ceilings",
    "convert": "turn an existing HA-CNN or HAT-CNN checkpoint into a model folder",
}

EXTRAS = {"export": "export", "serve": "serve"}
"""The extra that a command needs where it is not train."""


def main() -> None:
    """Entry point of the console script."""
    arguments = sys.argv[1:]
    try:
        run(arguments)
    except HatcnnError as error:
        print(f"hatcnn: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader, `head` say, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)


def run(arguments: list[str]) -> None:
    """Run one command.

    Args:
        arguments: what follows ``hatcnn`` on the command line.

    Raises:
        HatcnnError: for whatever the user can mend.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return
    command, *rest = arguments
    if command == "--version":
        print(f"hatcnn {__version__}")
        return
    if command not in COMMANDS:
        raise ConfigError(f"unknown command {command!r}{nearest_names(command, COMMANDS)}")
    try:
        # Each command imports what it needs, so that light ones start quickly and none needs an
        # extra that it does not use.
        module = importlib.import_module(f"hatcnn.cli.{command}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"'hatcnn {command}' needs {error.name}, which is not installed: "
            f'pip install "hatcnn[{EXTRAS.get(command, "train")}]"'
        ) from None
    module.main(rest)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {words}" for name, words in COMMANDS.items()]
    return "\n".join(
        [
            "usage: hatcnn COMMAND ...",
            "",
            "Person re-identification with attention and attributes.",
            "",
            *lines,
            "",
            "'hatcnn COMMAND --help' says more.",
        ]
    )


if __name__ == "__main__":
    main()
