"""The loop around every run: train to the next look, look, go on; for networks on data and for objectives alike."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..theory import Evaluated, Kantorovich
from .descent import CHUNK, DescentState, Records


@dataclasses.dataclass(frozen=True)
class Look:
    """What a run has reached at one monitored epoch."""

    epoch: int
    quantities: dict[str, float]
    state: DescentState
    kantorovich: tuple[Kantorovich, ...]  # for descent and for flow; none for an objective
    message: str  # "" while the run goes on; why it stopped otherwise


@dataclasses.dataclass
class Log:
    """Everything recorded so far; what a checkpoint keeps beside the state."""

    records: list[Records] = dataclasses.field(default_factory=list)
    looks: list[dict[str, float]] = dataclasses.field(default_factory=list)
    certified: Kantorovich | None = None  # the first that holds for the run's own method and step size
    flow_certified: Kantorovich | None = None
    message: str = ""


@dataclasses.dataclass(frozen=True)
class AbstractPrepared(ABC):
    """A run before its first epoch, and what the loop asks of it."""

    epochs: int
    step_size: float  # of descent; for flow the length of an epoch in time
    step_size_from: str  # in words, where it came from
    looks: np.ndarray  # epochs at which the monitors are computed
    state: DescentState
    theorems: tuple[Evaluated, ...]

    @property
    def stretch(self) -> int:
        """The most epochs that one call of `advance` is asked for. Default: the length of a compiled loop's records."""
        return CHUNK

    @abstractmethod
    def advance(self, state: DescentState, epochs: int) -> tuple[DescentState, Records]:
        """At most so many epochs on."""

    @abstractmethod
    def look(self, log: Log, state: DescentState, message: str) -> Look:
        """Compute the monitors at a state and add them to the log."""

    @abstractmethod
    def trajectory(self, log: Log) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The looks and the records of every epoch as arrays, each with its `epoch`."""

    @abstractmethod
    def conclude(self, log: Log) -> dict[str, Any]:
        """The verdict after the run."""


def run(prepared: AbstractPrepared, log: Log, state: DescentState | None = None) -> Iterator[Look]:
    """Train, and yield at every monitored epoch; `log` grows on the way. `state` and its `log` resume a run.

    Between two yields nothing is pending: stop consuming, or raise in the consumer, and what was yielded is whole.
    """
    state = prepared.state if state is None else state
    looked = {int(q["epoch"]) for q in log.looks}
    for epoch in prepared.looks:
        message, reached = "", False
        while state.epoch < epoch and not message and not reached:
            state, records = prepared.advance(state, min(int(epoch) - state.epoch, prepared.stretch))
            log.records.append(records)
            message, reached = records.message, records.reached
        if state.epoch not in looked or message:
            look = prepared.look(log, state, message)
            looked.add(look.epoch)
            yield look
            message = look.message
        if message or reached:
            return


def trajectory(prepared: AbstractPrepared, log: Log) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The looks and the per-epoch records as arrays; each with its `epoch`, the looks with the bounds laid beside."""
    return prepared.trajectory(log)


def conclude(prepared: AbstractPrepared, log: Log) -> dict[str, Any]:
    """The verdict after the run: every promise of every certificate held against what was recorded."""
    return prepared.conclude(log)


def loss_bounds(theorems: tuple[Evaluated, ...], epochs: np.ndarray) -> dict[str, np.ndarray]:
    """`bound`, what the first theorem that speaks about the loss says of it at these epochs; empty if none does."""
    promises = [p for t in theorems for p in t.promises if p.quantity == "loss" and p.conclusion]
    return {"bound": bound_at(promises[0], epochs)} if promises else {}


def bound_at(promise, epochs: np.ndarray) -> np.ndarray:
    """A promise at these epochs, NaN before it starts."""
    bounds = promise.limit * promise.factor ** (epochs - promise.start).astype(float)
    return np.where(epochs >= promise.start, bounds, np.nan)
