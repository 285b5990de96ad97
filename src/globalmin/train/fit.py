"""Certificate before, monitors during, verdict after: one training run of a system on data."""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core import UnsolvedError, linalg, numerics
from ..models import AbstractModel
from ..predict import FunctionSpace
from ..systems import AbstractSystem, Iterate, Limit, Question
from ..theory import Evaluated, Kantorovich, Promise, Verdict
from . import verify
from .descent import DescentState, Records, descend, scalars, stable_step_size, start
from .flow import integrate
from .loop import AbstractPrepared, Log, Look, bound_at, loss_bounds
from .monitors import schedule

StepSize = float | Literal["auto", "certified"]
Method = Literal["descent", "flow"]


@dataclasses.dataclass(frozen=True)
class Prepared(AbstractPrepared):
    """A run before its first epoch: the network, the data, the resolved step size and every certificate."""

    system: AbstractSystem
    x: Float[Array, "n d"]
    y: Float[Array, " n"]
    width: int
    method: Method
    dtype: Any
    test: tuple[Float[Array, "k d"], Float[Array, " k"]] | None
    start: Iterate
    limit: Limit | None  # None: system.limit_missing says why
    kantorovich: tuple[Kantorovich, Kantorovich]  # descent with this step size, flow

    def advance(self, state: DescentState, epochs: int) -> tuple[DescentState, Records]:
        """At most so many epochs on."""
        x, y = self.x.astype(self.dtype), self.y.astype(self.dtype)
        return descend(state, x, y, self.step_size, epochs, integrate if self.method == "flow" else None)

    def look(self, log: Log, state: DescentState, message: str) -> Look:
        """The common monitors, the system's own, and the Kantorovich certificate."""
        return _look(self, log, state, message)

    @functools.cached_property
    def linearized(self) -> FunctionSpace | None:
        """The training that the tangent kernel of the start, kept fixed, predicts; `None` for more samples than 2,048."""
        first = self.start
        if len(first.y) > linalg.DENSE_LIMIT:
            return None
        return FunctionSpace(
            first.gram, np.asarray(self.y), outputs=first.outputs, kernel="at the start", entry_error=first.entry_error
        )

    def trajectory(self, log: Log) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The looks and the records, with the path's length and the bounds laid beside."""
        return _trajectory(self, log)

    def conclude(self, log: Log) -> dict[str, Any]:
        """The verdict after the run."""
        return _conclude(self, log)


def prepare(
    system: AbstractSystem,
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    width: int,
    epochs: int,
    key: Array | None = None,
    model: AbstractModel | None = None,
    step_size: StepSize = "auto",
    method: Method = "descent",
    looks: int = 40,
    delta: float = 0.1,
    label_bound: float | None = None,
    dtype: Any = jnp.float64,
    closest: tuple[float, int, int] | None = None,
    test: tuple[Float[Array, "k d"], Float[Array, " k"]] | None = None,
    reference: AbstractModel | None = None,
) -> Prepared:
    """Initialise, choose the step size, and evaluate every theorem and the Kantorovich certificate at epoch 0.

    **Arguments:**

    - `x`, `y`: float64; inputs as rows, one label each.
    - `key` for the paper's initialisation, or a `model` to start from.
    - `step_size`: η of L = ½‖u − y‖² (a sum), or "auto" (1/λ_max of the tangent kernel at the start), or "certified" (the
      largest one for which the Kantorovich certificate holds at the start; `ValueError` if none does).
    - `method`: "descent", or "flow", where an epoch lasts `step_size` units of time.
    - `delta`: failure probability over the initialisation in the published theorems.
    - `dtype`: of training only; kernels, Gram matrices and verdicts are float64.
    - `closest`: smallest angle between the lines of two inputs and their rows (`data.closest_pair`), if known.
    - `test`: held-out inputs and labels; the looks then have `test_loss`, (n/k) ½‖f − y‖² over these k samples: the
      training loss's scale, whatever their number.
    - `reference`: a network whose outputs are subtracted: f − f_reference is trained and tested. With the initial network
      the outputs start at 0 and the residual at −y, which frees it of the initial outputs' noise. Since the reference
      does not move, this is the training of f on y + f_reference, and so it is carried out and recorded.

    **Raises:** `ValueError` for bad data, counts or step sizes.
    """
    x = numerics.check_inputs(x)
    y = numerics.check_labels(y, len(x))
    if test is not None:
        numerics.require_float64("x_test", test[0])
        test = (test[0], numerics.check_labels(test[1], len(test[0]), "y_test"))
    numerics.check_count("width", width)
    numerics.check_count("epochs", epochs)
    if not 0 < delta < 1:
        raise ValueError(f"delta: a probability strictly between 0 and 1 expected, {delta} came")
    if model is None:
        if key is None:
            raise ValueError("key or model expected, neither came: pass key=jax.random.key(seed)")
        model = system.init(x.shape[1], width, key=key, dtype=dtype)
    if reference is not None:
        y = y + _outputs(system, reference, x)
        test = None if test is None else (test[0], test[1] + _outputs(system, reference, test[0]))
    state = start(model, x.astype(dtype))
    first = system.iterate(model, x, y, state.solver or None)
    if not np.isfinite(first.outputs).all():
        raise ValueError("the first outputs are NaN or infinite: look for huge values in the data or the weights")
    eta, origin = _step_size(system, first, step_size, method, width)
    limit = system.limit(x)
    bound = float(np.abs(np.asarray(y)).max()) if label_bound is None else label_bound
    question = Question(first, limit, width, eta, delta, bound, closest)
    theorems = tuple(_in_epochs(t.evaluate(), method, eta) for t in system.theorems(question))
    return Prepared(
        system=system,
        x=x,
        y=y,
        width=width,
        epochs=epochs,
        method=method,
        step_size=eta,
        step_size_from=origin,
        looks=schedule(epochs, looks),
        dtype=dtype,
        test=test,
        state=state,
        start=first,
        limit=limit,
        theorems=theorems,
        kantorovich=system.kantorovich(first, None if method == "flow" else eta, width=width),
    )


def _outputs(system: AbstractSystem, model: AbstractModel, x) -> Array:
    """f(X) in float64."""
    return jnp.asarray(system.iterate(model, x, jnp.zeros(len(x))).outputs)


def _in_epochs(evaluated: Evaluated, method: Method, step_size: float) -> Evaluated:
    """Keep the promises that are about this method; those of a flow per unit of time become ones per epoch."""
    promises = evaluated.promises if evaluated.method in ("any", method) else ()
    if method == "flow":
        promises = tuple(dataclasses.replace(p, factor=p.factor**step_size) for p in promises)
    return dataclasses.replace(evaluated, promises=promises)


def _certified(p: Prepared, certificate: Kantorovich) -> tuple[Promise, ...]:
    """What the certificate promises of a run, per epoch. How long a flow's path is between two epochs is not recorded."""
    if p.method == "descent":
        return certificate.promises()
    return tuple(q for q in certificate.promises(p.step_size) if q.quantity != "path_since_start")


def _step_size(system, first: Iterate, step_size: StepSize, method: Method, width: int) -> tuple[float, str]:
    top = first.lambda_max.value
    if isinstance(step_size, int | float) and not isinstance(step_size, bool):
        if not (math.isfinite(step_size) and step_size > 0):
            raise ValueError(f"step_size: a positive number expected, {step_size} came")
        if method == "descent" and step_size * top >= 2:
            raise ValueError(
                f"step_size: less than 2/λ_max = {2 / top:.4g} expected (beyond it descent leaves every minimum), "
                f"{step_size:.4g} came; 'auto' takes {stable_step_size(top):.4g}"
            )
        return float(step_size), "given"
    if step_size == "auto":
        return stable_step_size(top), "1 / λ_max of the tangent kernel at epoch 0"
    if step_size == "certified":
        best, _ = system.kantorovich(first, None, width=width)
        if best.outcome is not Verdict.HOLDS or best.step_size is None:
            raise ValueError(
                f"step_size 'certified': the Kantorovich certificate does not hold at epoch 0 ({best.reason}); "
                "use 'auto' and watch for the epoch at which it first holds"
            )
        return best.step_size, "the largest for which the Kantorovich certificate holds at epoch 0"
    raise ValueError(f"step_size: a number, 'auto' or 'certified' expected, {step_size!r} came")


def _look(p: Prepared, log: Log, state: DescentState, message: str) -> Look:
    iterate = p.start if state.epoch == 0 else p.system.iterate(state.model, p.x, p.y, state.solver or None)
    eta = None if p.method == "flow" else p.step_size
    if iterate.lost:  # why a solve failed, if one did; and where all succeed, by exact norms
        message = f"stopped at epoch {state.epoch}: {iterate.lost}"
    try:
        quantities = {"epoch": float(state.epoch), **p.system.monitor(iterate, p.start)}
        quantities["lambda_min_error"] = iterate.lambda_min.error
        if p.test is not None:
            quantities["test_loss"] = len(p.y) / len(p.test[1]) * p.system.iterate(state.model, *p.test).loss
        certificates = p.system.kantorovich(iterate, eta, width=p.width, epoch=state.epoch)
    except UnsolvedError as error:  # well-posedness is lost: say so, and end the run with what there is
        message = message or f"stopped at epoch {state.epoch}: {error}"
        log.message = message
        return Look(state.epoch, {"epoch": float(state.epoch)}, state, p.kantorovich, message)
    own = certificates[1] if p.method == "flow" else certificates[0]
    # Where c ≤ 0 the certificate's h is its limit at small steps; the run's own step size has none.
    quantities["kantorovich_h"] = math.nan if own.h is None else math.inf if (own.c or 0.0) <= 0 else own.h
    quantities["kantorovich_flow_h"] = math.nan if certificates[1].h is None else certificates[1].h
    if log.certified is None and own.outcome is Verdict.HOLDS:
        log.certified = own
    if log.flow_certified is None and certificates[1].outcome is Verdict.HOLDS:
        log.flow_certified = certificates[1]
    if not log.looks or log.looks[-1]["epoch"] < state.epoch:  # a step that is not taken ends where the last look was
        log.looks.append(quantities)
    log.message = message
    return Look(state.epoch, quantities, state, certificates, message)


def _trajectory(prepared: Prepared, log: Log) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    names = dict.fromkeys(name for look in log.looks for name in look)
    looks = {name: np.array([look.get(name, np.nan) for look in log.looks]) for name in names}
    looks["epoch"] = looks.get("epoch", np.zeros(0)).astype(int)
    steps = scalars(log.records)
    if "loss" in steps:
        lengths = prepared.step_size * steps["gradient_norm"].astype(float)
        steps["path_length"] = np.concatenate([[0.0], np.cumsum(lengths)[:-1]]) if lengths.size else lengths
    if prepared.linearized is not None:
        epochs, eta = looks["epoch"], prepared.step_size
        flow = prepared.method == "flow"
        losses = prepared.linearized.losses(eta * epochs) if flow else prepared.linearized.descent_losses(eta, epochs)
        looks["linearized_loss"] = losses
    looks |= loss_bounds(prepared.theorems, looks["epoch"])
    if log.certified is not None:
        loss = next(q for q in _certified(prepared, log.certified) if q.quantity == "loss")
        looks["kantorovich_bound"] = bound_at(loss, looks["epoch"])
    return looks, steps


def _conclude(prepared: Prepared, log: Log) -> dict[str, Any]:
    looks, steps = _trajectory(prepared, log)
    p = prepared
    eps = float(jnp.finfo(p.dtype).eps)
    theta = np.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(p.start.model)))
    sigma = np.sqrt(max(np.min(looks["lambda_min"]), 0.0)) if "lambda_min" in looks else 0.0
    floor = verify.residual_floor(eps, theta, p.step_size, sigma, p.start.rho.error * eps / numerics.EPS)
    pairs = [(promise, t.source) for t in p.theorems for promise in t.promises]
    if log.certified is not None:
        pairs += [(promise, log.certified.source) for promise in _certified(p, log.certified)]
    checks = [
        verify.lay_over(promise, source, *verify.series_of(promise.quantity, promise, looks, steps), floor)
        for promise, source in pairs
    ]
    return {
        "sentence": verify.sentence(checks),
        "promises": [c.to_dict() for c in checks],
        "residual_floor": floor,
        "certified_epoch": None if log.certified is None else log.certified.epoch,
        "certified": None if log.certified is None else log.certified.summary(),
        "flow_certified_epoch": None if log.flow_certified is None else log.flow_certified.epoch,
        "flow_certified": None if log.flow_certified is None else log.flow_certified.summary(),
        "message": log.message,
    }
