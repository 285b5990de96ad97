"""`globalmin`: arguments in, exit code out. 0: done; 1: a certificate or a claim fails where one was demanded; 2: bad input."""

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and turn every failure into one line that says what was expected, what came and what to do."""
    try:
        return _main(argv)
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails as well
        return 0


def _main(argv: Sequence[str] | None) -> int:
    import jax

    jax.config.update("jax_enable_x64", True)  # the command's own process: kernels and verdicts need float64
    import equinox as eqx
    import pydantic
    import tyro

    from ..experiments.options import foreign_options
    from .base import Command, choice, unchecked
    from .commands import COMMANDS, DESCRIPTION

    words = sys.argv[1:] if argv is None else argv
    # Only in the help: outside of it an option of another system is refused by us, in one line.
    asks = words if {"-h", "--help"} & set(words) else ()
    parsers, commands = {}, {}
    for name, entry in COMMANDS.items():
        group: dict[str, type[Command]] = {name: entry} if isinstance(entry, type) else entry.commands
        parsed = {inner: unchecked(command, foreign_options(command, asks)) for inner, command in group.items()}
        commands |= {parsed[inner]: command for inner, command in group.items()}
        parsers[name] = parsed[name] if isinstance(entry, type) else choice(parsed, entry.description)
    arguments = tyro.extras.subcommand_cli_from_dict(parsers, prog="globalmin", description=DESCRIPTION, args=argv)
    command = commands[type(arguments)]
    try:
        return command(**vars(arguments)).run()
    except pydantic.ValidationError as error:
        return _refuse("; ".join(_plain(e) for e in error.errors()))
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError, eqx.EquinoxRuntimeError) as error:
        return _refuse(str(error))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return _refuse("out of memory: ask for fewer samples or a smaller width")
    except KeyboardInterrupt:
        print("globalmin: interrupted", file=sys.stderr)
        return 130


def _refuse(message: str) -> int:
    print(f"globalmin: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _plain(error) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message}, {error['input']!r} came" if where else message
