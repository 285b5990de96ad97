"""What the commands share: a closed configuration, the progress bar, and printing for people or for machines."""

import dataclasses
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Union, get_type_hints

import pydantic


class Command(pydantic.BaseModel, ABC):
    """A command's arguments; unknown ones are an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    positional: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def run(self) -> int:
        """Do it, and return the exit code."""


def unchecked(command: type[Command], hidden: Collection[str] = ()) -> type:
    """A dataclass with a command's fields and help and none of its checks, for the parser; `hidden` ones are not in the help.

    So that a bad value is refused by us, in one line, and not by the parser in a box. The way back is `command(**vars(...))`.
    """
    import tyro

    hints = get_type_hints(command)  # without the constraints, which ride in Annotated
    fields = []
    for name, field in sorted(command.model_fields.items(), key=lambda item: not item[1].is_required()):
        argument = tyro.conf.arg(help=field.description or "", name="json" if name == "json_output" else None)
        kind: Any = Annotated[hints[name], argument]
        if name in command.positional:
            kind = tyro.conf.Positional[kind]
        elif name in hidden:
            kind = tyro.conf.Suppress[kind]
        default = dataclasses.MISSING if field.is_required() else field.default
        fields.append((name, kind, dataclasses.field(default=default)))
    parsed = dataclasses.make_dataclass(command.__name__, fields)
    parsed.__doc__ = command.__doc__
    return parsed


@dataclasses.dataclass(frozen=True)
class Group:
    """Commands under one name, each with arguments of its own: `globalmin objective saddle --dimension 5`."""

    description: str  # with an example
    commands: dict[str, type[Command]]


def choice(parsers: dict[str, type], description: str) -> Any:
    """A function for the parser that takes one of several dataclasses as a subcommand, and returns it."""
    import tyro

    kinds = tuple(Annotated[parser, tyro.conf.subcommand(name)] for name, parser in parsers.items())

    def chosen(arguments: Any) -> Any:
        return arguments

    # No prefix of the argument's name before the options.
    chosen.__annotations__["arguments"] = Annotated[Union[kinds], tyro.conf.arg(name="")]  # noqa: UP007
    chosen.__doc__ = description
    return chosen


class Bar:
    """A progress bar over the epochs of a run with the last look's numbers; on a pipe, silent."""

    def __init__(self, title: str, epochs: int, quiet: bool = False):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._task = self._progress.add_task(title, total=epochs, numbers="")

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def __call__(self, epoch: int, epochs: int, quantities: dict[str, float]) -> None:
        """The `progress` of `experiments.execute`; shown from the first call on, so that bad input shows no bar."""
        self._progress.start()
        h = quantities.get("kantorovich_h")
        text = f"loss {quantities['loss']:.3g}" if "loss" in quantities else ""
        if "lambda_min" in quantities:
            text += f"  λ_min {quantities['lambda_min']:.3g}"
        if h is not None and h == h:
            text += f"  h {h:.3g}"
        self._progress.update(self._task, completed=epoch, numbers=text)


class Timed:
    """A line on standard error for work that takes longer than two seconds: what, and how long it took."""

    def __init__(self, what: str, quiet: bool = False):
        self._what, self._quiet, self._start = what, quiet, 0.0

    def __enter__(self) -> "Timed":
        self._start = time.monotonic()
        if not self._quiet and sys.stderr.isatty():
            print(f"{self._what} ...", end="\r", file=sys.stderr, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._quiet and sys.stderr.isatty():
            print(f"{self._what}: {time.monotonic() - self._start:.1f} s", file=sys.stderr)


def print_json(value: Any) -> None:
    """One JSON object on standard output; infinities and NaN as the strings "Infinity", "-Infinity", "NaN"."""
    from ..report import to_json

    print(to_json(value))
