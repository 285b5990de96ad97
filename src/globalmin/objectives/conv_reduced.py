r"""The exact four-dimensional dynamics of the convolutional teacher, and which minimum a start ends in.

Gradient descent on (v, a) moves φ = ∠(v, w*), r = ‖v‖, u = 1ᵀa and P = aᵀs among themselves; the rest of a decays by
1 − η(π − 1)/(2π) a step and influences nothing. The recursion is exact at any step size.

**Basins.** With h = S² + (g(φ) − 1)N, two sets are mapped into themselves by every step of η ≤ min{2π/K, √2/M}:

- P ≥ 0, φ ≤ φ_c, uS ≤ h: φ falls to 0, the global minimum;
- P ≤ 0, φ ≥ φ_c, uS ≥ h: φ rises to π, the spurious point.

For uS ≤ h makes P⁺ ≥ 0; φ then falls and h rises; and u⁺S is between uS and its rest point S²(k + g − 1)/K, which is
at most h exactly where g ≥ g(φ_c). The second set is the mirror image. A start is thus told apart long before it has
converged, and with certainty, where an angle below some tolerance would be a guess.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._core import numerics
from .._core.relu_arc import arc, arc_gap
from .conv_numbers import TeacherNumbers
from .conv_teacher import ConvStudent, ConvTeacher

GLOBAL, UNDECIDED, SPURIOUS = 1, 0, -1
"""The basins as the sweeps return them."""


class ReducedState(eqx.Module):
    """`angle` φ in [0, π], `norm` r > 0, `total` u and `alignment` P, each of the same shape."""

    angle: Float[Array, "*batch"]
    norm: Float[Array, "*batch"]
    total: Float[Array, "*batch"]
    alignment: Float[Array, "*batch"]


class _Numbers(NamedTuple):
    # k, S, N as arrays: one compiled program serves every teacher.
    patches: Float[Array, ""]
    total: Float[Array, ""]
    square: Float[Array, ""]
    separating: Float[Array, ""]  # φ_c


def reduce_student(teacher: ConvTeacher, student: ConvStudent) -> ReducedState:
    """The four numbers of a student."""
    return ReducedState(
        numerics.angle(student.filter, teacher.filter),
        jnp.linalg.norm(student.filter),
        jnp.sum(student.output),
        student.output @ teacher.target,
    )


def reduced_step(numbers: TeacherNumbers, state: ReducedState, step_size: float | Float[Array, ""]) -> ReducedState:
    """One step of gradient descent, both layers at once, whatever the step size.

    **Source:** the planar geometry of Algorithm 1 in Du's thesis, chapter 5; λ = (π − φ)P/(2πr²) is that of its Lemma 5.5.
    """
    return _step(_arrays(numbers), state, jnp.asarray(step_size, jnp.float64))


def basin(numbers: TeacherNumbers, state: ReducedState) -> Int[Array, "*batch"]:
    """`GLOBAL`, `SPURIOUS`, or `UNDECIDED` where the state is in neither of the two trapping sets yet.

    The answer holds for every later step of size at most `numbers.largest_step`.
    """
    return _basin(_arrays(numbers), state)


def fate(
    numbers: TeacherNumbers, start: ReducedState, step_size: float, *, most_steps: int = 20_000
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """In which minimum each start ends, and after how many steps that was certain.

    **Arguments:** `start`, a batch of n; `step_size`, at most `numbers.largest_step`; `most_steps`.

    **Returns:** basins (`UNDECIDED` for a start that `most_steps` did not settle) and steps, one of each per start.

    **Raises:** `ValueError` for a larger step size or a start with ‖v‖ < 1, |u| > |S| or |P| > M, for which the trapping
    sets are not proved to trap.

    **Cost:** all starts at once, in steps of about 50 ns a start, until the last one is settled.
    """
    if not 0 < step_size <= numbers.largest_step * (1 + 1e-12):
        raise ValueError(
            f"step size: at most min(2π/K, √2/M) = {numbers.largest_step:.6g} expected, {step_size!r} came; "
            "above it no basin is proved"
        )
    smallest = float(jnp.min(start.norm))
    if smallest < 1 - 1e-9:
        raise ValueError(f"start: ‖v‖ of at least 1 expected, {smallest:.6g} came; divide v by its length")
    totals = float(jnp.max(jnp.abs(start.total))) - abs(numbers.total)
    if totals > 1e-12 * math.sqrt(numbers.bound) or float(jnp.max(jnp.abs(start.alignment))) > numbers.bound:
        raise ValueError(
            "start: |1ᵀa| ≤ |1ᵀs| and |aᵀs| ≤ ‖s‖² + (1ᵀs)² expected; draw a from the ball of radius |1ᵀs|/√k"
        )
    limit = jnp.asarray(most_steps, jnp.int32)
    found, steps = _settle(_arrays(numbers), start, jnp.asarray(step_size, jnp.float64), limit)
    return np.asarray(found), np.asarray(steps)


def random_starts(numbers: TeacherNumbers, dimension: int, count: int, *, key: PRNGKeyArray) -> ReducedState:
    """`count` draws of Theorem 5.4's initialisation: v uniform on the sphere of R^`dimension`, a in the ball of `radius`."""
    numerics.check_count("dimension", dimension)
    numerics.check_count("count", count)
    k, s_mean = numbers.patches, numbers.total / math.sqrt(numbers.patches)
    filter_key, output_key, radius_key = jax.random.split(key, 3)
    v = jax.random.normal(filter_key, (count, dimension), jnp.float64)
    angle = jnp.arctan2(jnp.linalg.norm(v[:, 1:], axis=1), v[:, 0])
    a = jax.random.normal(output_key, (count, k), jnp.float64)
    length = numbers.radius * jax.random.uniform(radius_key, (count,), jnp.float64) ** (1 / k)
    a = a * (length / jnp.linalg.norm(a, axis=1))[:, None]
    # In a basis that starts with 1/√k and the part of s orthogonal to it, s has two coordinates.
    across = math.sqrt(max(numbers.square - s_mean**2, 0.0))
    second = a[:, 1] if k > 1 else jnp.zeros(count)
    return ReducedState(angle, jnp.ones(count), math.sqrt(k) * a[:, 0], s_mean * a[:, 0] + across * second)


def small_square_limit(numbers: TeacherNumbers, dimension: int) -> float:
    """The probability of the global minimum as N → 0 at fixed ρ, for one draw of Theorem 5.4's initialisation.

    The output weights then settle before the filter has moved, and what is left is P(φ⁰ < φ_c), with
    (1 + cos φ⁰)/2 ~ Beta((p − 1)/2, (p − 1)/2).
    """
    if dimension == 1:
        return 0.5 if numbers.spurious_attracts else 1.0
    shape = (dimension - 1) / 2
    return float(scipy.stats.beta.sf((1 + math.cos(numbers.separating_angle)) / 2, shape, shape))


def _arrays(numbers: TeacherNumbers) -> _Numbers:
    found = (float(numbers.patches), numbers.total, numbers.square, numbers.separating_angle)
    return _Numbers(*(jnp.asarray(x, jnp.float64) for x in found))


def _step(n: _Numbers, state: ReducedState, eta: Float[Array, ""]) -> ReducedState:
    phi, r, u, aligned = state.angle, state.norm, state.total, state.alignment
    kappa = eta * (jnp.pi - phi) * aligned / (2 * jnp.pi * r * r)
    pull = kappa * jnp.sin(phi)
    moved = jnp.abs(phi - jnp.arctan(pull))  # beyond 0 the angle is measured on the other side
    moved = jnp.where(moved > jnp.pi, 2 * jnp.pi - moved, moved)
    scale, gap = n.patches + jnp.pi - 1, arc_gap(phi)
    rate = eta / (2 * jnp.pi)
    return ReducedState(
        moved,
        r * jnp.sqrt(1 + pull * pull),
        u - rate * (scale * (u - n.total) + gap * n.total),
        aligned - rate * ((u - n.total) * n.total + (jnp.pi - 1) * (aligned - n.square) + gap * n.square),
    )


def _basin(n: _Numbers, state: ReducedState) -> Int[Array, "*batch"]:
    edge = n.total**2 + (arc(state.angle) - 1) * n.square
    side = state.total * n.total - edge
    good = (state.alignment >= 0) & (state.angle <= n.separating) & (side <= 0)
    bad = (state.alignment <= 0) & (state.angle >= n.separating) & (side >= 0)
    return jnp.where(good, GLOBAL, jnp.where(bad, SPURIOUS, UNDECIDED))


@jax.jit
def _settle(n: _Numbers, state: ReducedState, eta: Float[Array, ""], limit: Int[Array, ""]):
    def keep_going(carry):
        _, where, _, k = carry
        return (k < limit) & jnp.any(where == UNDECIDED)

    def body(carry):
        state, where, when, k = carry
        state = _step(n, state, eta)
        found = _basin(n, state)
        fresh = (where == UNDECIDED) & (found != UNDECIDED)
        return state, jnp.where(fresh, found, where), jnp.where(fresh, k + 1, when), k + 1

    where = _basin(n, state)
    when = jnp.zeros(where.shape, jnp.int32)
    _, where, when, _ = jax.lax.while_loop(keep_going, body, (state, where, when, jnp.zeros((), jnp.int32)))
    return where, jnp.where(where == UNDECIDED, limit, when)
