"""The student of the convolutional teacher and how it starts: Theorem 5.4's draw, the choice of its signs, and halving."""

import math
from typing import TYPE_CHECKING, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import numerics

if TYPE_CHECKING:
    from .conv_teacher import ConvTeacher

Scheme = Literal["ball", "labels", "good", "bad", "halving"]
"""`ball`: one draw of Theorem 5.4. `labels`: the same, its radius estimated from labels. `good`, `bad`: of the draw's four
sign choices the one of Theorem 5.3, or its opposite. `halving`: no knowledge of the teacher, see `by_halving`."""

LABELS = 10_000
"""Labels from which a radius is estimated: its relative error is about 1% of ‖s‖/|S|."""

WIDEST = 8.0
"""The first radius of halving, in root mean square labels: above what Theorem 5.4 ever asks for."""

SUCCESS = 1e-4
"""The loss in squares of the labels at which halving stops; the spurious point is above 0.05 of them."""


class ConvStudent(eqx.Module):
    """The trained parameters: `filter` v, whose length the network ignores, and `output` a."""

    filter: Float[Array, " p"]
    output: Float[Array, " k"]

    def signs(self) -> "tuple[ConvStudent, ConvStudent, ConvStudent, ConvStudent]":
        """(v, a), (v, −a), (−v, a), (−v, −a): one of them is a good start of Theorem 5.3 (Theorem 5.4)."""
        v, a = self.filter, self.output
        return ConvStudent(v, a), ConvStudent(v, -a), ConvStudent(-v, a), ConvStudent(-v, -a)


def draw_start(teacher: "ConvTeacher", radius: float | Float[Array, ""], *, key: PRNGKeyArray) -> ConvStudent:
    """v uniform on the unit sphere, a uniform in the ball of `radius`."""
    filter_key, direction_key, radius_key = jax.random.split(key, 3)
    v = jax.random.normal(filter_key, (teacher.dimension,), jnp.float64)
    a = jax.random.normal(direction_key, (teacher.patches,), jnp.float64)
    length = radius * jax.random.uniform(radius_key, (), jnp.float64) ** (1 / teacher.patches)
    return ConvStudent(v / jnp.linalg.norm(v), length * a / jnp.linalg.norm(a))


def radius_from_labels(teacher: "ConvTeacher", *, key: PRNGKeyArray, samples: int = LABELS) -> Float[Array, ""]:
    """√(2π/k)|mean of y|, which tends to |S|/√k: what Theorem 5.4 needs of a teacher that is known by its labels only."""
    mean = jnp.mean(teacher.labels(teacher.draw(samples, key=key)))
    return math.sqrt(2 * math.pi / teacher.patches) * jnp.abs(mean)


def choose_signs(teacher: "ConvTeacher", student: ConvStudent, good: bool = True) -> ConvStudent:
    """(±v, ±a) with φ < π/2 and aᵀs ≥ 0, as Theorem 5.3 asks; or φ > π/2 and aᵀs ≤ 0 if not `good`."""
    side = 1.0 if good else -1.0
    v, a = student.filter, student.output
    turn = jnp.where(v @ teacher.filter * side >= 0, 1.0, -1.0)
    flip = jnp.where(a @ teacher.target * side >= 0, 1.0, -1.0)
    return ConvStudent(turn * v, flip * a)


def by_halving(
    teacher: "ConvTeacher", *, key: PRNGKeyArray, step_size: float, steps: int = 5000, most: int = 20
) -> tuple[ConvStudent, int]:
    """The start of Remark 5.3: a large radius, halved until descent from one of the four sign choices makes the loss small.

    **Arguments:** `steps` of each descent, `most` halvings. Neither teacher nor 1ᵀa* is used, only labels and losses.

    **Returns:** the start that succeeded and how often the radius was halved.

    **Raises:** `ValueError` where no radius succeeded: raise `steps`.
    """
    numerics.check_count("steps", steps)
    label_key, start_key = jax.random.split(key)
    scale = jnp.mean(teacher.labels(teacher.draw(LABELS, key=label_key)) ** 2)
    for halvings in range(most + 1):
        radius = WIDEST * jnp.sqrt(scale) / 2**halvings
        start = draw_start(teacher, radius, key=jax.random.fold_in(start_key, halvings))
        signs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *start.signs())
        losses = _descend(teacher, signs, jnp.asarray(step_size, jnp.float64), jnp.asarray(steps, jnp.int32))
        best = int(jnp.argmin(losses))
        if float(losses[best]) <= SUCCESS * float(scale):
            return start.signs()[best], halvings
    raise ValueError(f"halving: no radius succeeded within {steps} steps of size {step_size:.3g}; give more steps")


@eqx.filter_jit
def _descend(teacher, signs, step_size, steps):
    def run(start):
        def body(_, student):
            return teacher.moved(student, step_size)

        return teacher.value(jax.lax.fori_loop(0, steps, body, start))

    return jax.vmap(run)(signs)
