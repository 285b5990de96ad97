"""Gradient descent on the octopus in the log domain: exact counts where float64 underflows, and 10⁸ steps at once.

Outside the buffers every coordinate is multiplied by a constant: 1 + 2ηγ while it leaves, 1 − 2ηL while it waits, and
|x_j| − 4τ by 1 − 2ηL once it is through. So a whole stage is one addition to the logarithms; only the few steps in a buffer
are taken one by one. float64 loses a waiting coordinate after 1074 halvings, and then counts for ever.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .base import AbstractExactObjective
from .saddle import Octopus


def check_log_step(step_size: float, L: float) -> None:
    """Raise `ValueError` unless 0 < η < 1/(2L)."""
    if not 0 < step_size < 1 / (2 * L):
        raise ValueError(
            f"step_size: less than 1/(2L) = {1 / (2 * L):.4g} expected, {step_size:.4g} came; at 1/(2L) a waiting coordinate "
            "becomes exactly 0, and gradient descent never leaves"
        )


class LogOctopus(AbstractExactObjective):
    """The same function and the same descent as `octopus`, on a point that holds logarithms.

    A point is a dict: `base`, log|x_j| of coordinates not yet through and log||x_j| − 4τ| of those that are, at the
    beginning of the stage; `side` ±1, whether |x_j| is above 4τ; `sign` of x_j; `taken` steps since then; `active`, how
    many are through; `y`, |x_i| while x_i is in its buffer, else 0; `rate_up`, `rate_down`, log(1 + 2ηγ) and
    log(1 − 2ηL), 0 before the first step; the events so far: `epoch`, `hit` (T_k, −1 if not yet) and `buffered` (T_k^τ).
    """

    octopus: Octopus

    def init(self, *, key: PRNGKeyArray) -> dict[str, Array]:
        """Uniform on [−1, 1]^d."""
        return self.at(self.octopus.init(key=key))

    def at(self, x: Float[Array, " d"]) -> dict[str, Array]:
        """The point of an x with 0 < |x_j| ≤ τ. **Raises:** `ValueError` for any other x."""
        values = np.asarray(x, np.float64)
        d, tau = self.octopus.dimension, self.octopus.tau
        if values.shape != (d,) or not ((np.abs(values) > 0) & (np.abs(values) <= tau)).all():
            raise ValueError(f"start: {d} coordinates with 0 < |x_j| ≤ τ = {tau:g} expected, {values.tolist()} came")
        return {
            "base": jnp.log(jnp.abs(jnp.asarray(values))),
            "side": jnp.ones(d),
            "sign": jnp.sign(jnp.asarray(values)),
            "taken": jnp.zeros((), jnp.int64),
            "active": jnp.zeros((), jnp.int64),
            "y": jnp.zeros(()),
            "rate_up": jnp.zeros(()),
            "rate_down": jnp.zeros(()),
            "epoch": jnp.zeros((), jnp.int64),
            "hit": -jnp.ones(d, jnp.int64),
            "buffered": jnp.zeros(d, jnp.int64),
        }

    def trainable(self, point: dict[str, Array]) -> dict[str, bool]:
        """The logarithms."""
        return {name: name == "base" for name in point}

    def logs(self, point: dict[str, Array]) -> Float[Array, " d"]:
        """log|x_j|, or log||x_j| − 4τ| of those that are through, now."""
        leaving = jnp.arange(self.octopus.dimension) == point["active"]
        rate = jnp.where(leaving, point["rate_up"], point["rate_down"])
        return point["base"] + point["taken"].astype(rate.dtype) * rate

    def position(self, point: dict[str, Array]) -> Float[Array, " d"]:
        """x, as far as float64 can hold it."""
        through = jnp.arange(self.octopus.dimension) < point["active"]
        size = jnp.exp(self.logs(point))
        size = jnp.where(through, 4 * self.octopus.tau + point["side"] * size, size)
        here = jnp.arange(self.octopus.dimension) == point["active"]
        return point["sign"] * jnp.where(here & (point["y"] > 0), point["y"], size)

    def value(self, point: dict[str, Array]) -> Float[Array, ""]:
        """F(x)."""
        return self.octopus.value(self.position(point))

    def gradient(self, point: dict[str, Array]) -> dict[str, Float[Array, " d"]]:
        """∇F(x), with respect to x and not to the logarithms."""
        return {"x": self.octopus.gradient(self.position(point))}

    def distance(self, point: dict[str, Array], first: dict[str, Array]) -> Float[Array, ""]:
        """Of x from its start."""
        return jnp.linalg.norm(self.position(point) - self.position(first))

    def reached(self, point: dict[str, Array]) -> Bool[Array, ""]:
        """Within the octopus's accuracy of a minimum."""
        through = point["active"] == self.octopus.dimension
        return through & (jnp.sqrt(jnp.sum(jnp.exp(2 * self.logs(point)))) <= self.octopus.accuracy)

    def watch(self, point: dict[str, Array], first: dict[str, Array]) -> dict[str, float]:
        """As the octopus's records, with log₁₀ of the smallest waiting coordinate, T_k as `hit`k (−1 if not yet) and T_k^τ."""
        found = {name: np.asarray(value) for name, value in _measured(self, point).items()}
        i, epoch = int(point["active"]), np.asarray(point["epoch"])
        waiting = found["logs"][i + 1 :]
        eta = math.expm1(float(point["rate_up"])) / (2 * self.octopus.gamma)
        early = self.octopus.early(
            epoch, eta, found["last"], found["minimum_distance"], found["gradient_norm"], found["curvature"]
        )
        events = {
            f"{name}{k + 1}": float(value)
            for name in ("hit", "buffered")
            for k, value in enumerate(np.asarray(point[name]))
        }
        shown = ("last", "in_domain", "saddle_distance", "minimum_distance", "curvature")
        return {
            **events,
            **{name: float(value) for name, value in early.items()},
            **{name: float(found[name]) for name in shown},
            "active": i + 1.0,
            "stage": 2.0 if i == self.octopus.dimension else 1.0 if float(point["y"]) > 0 else 0.0,
            "log10_waiting": float(waiting.min() / math.log(10)) if waiting.size else math.nan,
        }

    def advance(self, point: dict[str, Array], step_size: float, epochs: int) -> tuple[dict[str, Array], int]:
        """Descend; stages at once, buffers step by step, the same steps whatever the pieces.

        **Raises:** `ValueError` for a step size of 1/(2L) or more: a waiting coordinate would be exactly 0.
        """
        o, eta = self.octopus, float(step_size)
        check_log_step(eta, o.L)
        up, down = math.log1p(2 * eta * o.gamma), math.log1p(-2 * eta * o.L)
        base, side = np.array(point["base"]), np.array(point["side"])
        hit, buffered = np.array(point["hit"]), np.array(point["buffered"])
        active, taken, y = int(point["active"]), int(point["taken"]), float(point["y"])
        epoch, left = int(point["epoch"]), epochs
        while left > 0:
            rate = np.full(o.dimension, down)
            if y > 0:  # in the buffer
                t = y / o.tau - 1
                slope = float(o.g1_slope(t))
                rate[active] = 0.0
                if active + 1 < o.dimension:
                    slope += float(o.g2_slope(t)) * math.exp(2 * base[active + 1])
                    rate[active + 1] = math.log1p(-2 * eta * float(o.g2(t)))
                buffered[active] += 1
                base, y = base + rate, y - eta * slope
                epoch, left = epoch + 1, left - 1
                if y >= 2 * o.tau:
                    gap = y - 4 * o.tau
                    base[active] = math.log(abs(gap)) if gap else -math.inf
                    side[active] = 1.0 if gap >= 0 else -1.0
                    hit[active], active, y = epoch, active + 1, 0.0
                continue
            if active == o.dimension:
                size = math.sqrt(float(np.sum(np.exp(2 * base))))
                needed = max(math.ceil(math.log(size / o.accuracy) / -down), 0) if size > 0 else 0
            else:
                rate[active] = up
                needed = math.floor((math.log(o.tau) - base[active]) / up) + 1
            go = min(needed - taken, left)
            taken, epoch, left = taken + go, epoch + go, left - go
            if taken < needed:
                continue
            if active == o.dimension:
                break
            base, taken = base + needed * rate, 0
            y = math.exp(base[active])
        found = {"base": base, "side": side, "taken": taken, "active": active, "y": y, "epoch": epoch, "hit": hit}
        found |= {"buffered": buffered, "rate_up": up, "rate_down": down}
        new = {name: jnp.asarray(found.get(name, value), value.dtype) for name, value in point.items()}
        return new, epochs - left


@eqx.filter_jit
def _measured(objective: LogOctopus, point: dict[str, Array]) -> dict[str, Array]:
    o, x = objective.octopus, objective.position(point)
    return {
        "logs": objective.logs(point),
        "last": jnp.abs(x[-1]),
        "in_domain": o.in_domain(x),
        "saddle_distance": jnp.linalg.norm(x - o.current_saddle(x)),
        "minimum_distance": o.minimum_distance(x),
        "curvature": o.lambda_min(x),
        "gradient_norm": jnp.linalg.norm(o.gradient(x)),
    }
