"""One run of the convolutional teacher: the teacher by its numbers or in full, the start, exact or sampled gradients."""

import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic

from ...objectives import ConvTeacher
from ...systems import ConvTeacherSystem
from .base import AbstractObjectiveConfig


class ConvTeacherConfig(AbstractObjectiveConfig):
    """A two-layer convolutional network with weight normalisation learning a teacher on Gaussian patches."""

    name: ClassVar[str] = "conv-teacher"

    epochs: pydantic.PositiveInt = 500
    """Steps of descent at most."""
    patches: pydantic.PositiveInt | None = None
    """k, the number of patches. Default: the length of teacher_output, the inputs' length over the dimension, or 20."""
    dimension: pydantic.PositiveInt | None = None
    """p, the numbers of a patch. Default: the length of teacher_filter, or 25."""
    inputs: pydantic.PositiveInt | None = None
    """Length of an input, which patches of `dimension` must tile. Default: k p."""
    ratio: pydantic.NonNegativeFloat = 1.0
    """(sum of a*)^2 / |a*|^2 of a drawn teacher, at most k. It decides how many starts are lost to the spurious minimum."""
    square: pydantic.PositiveFloat = 1.0
    """|w*|^2 |a*|^2 of a drawn teacher; the published table fits 0.3."""
    teacher_filter: tuple[float, ...] | None = None
    """w*. Default: a random direction of length 1."""
    teacher_output: tuple[float, ...] | None = None
    """a*. Default: drawn with `ratio` and `square`."""
    start: Literal["ball", "labels", "good", "bad", "halving"] = "ball"
    """ball: one draw of Theorem 5.4. labels: its radius estimated from labels. good, bad: of its four sign choices the one of
    Theorem 5.3, or the opposite. halving: from a large radius, halved until a descent succeeds."""
    batch: pydantic.PositiveInt | None = None
    """Fresh inputs for each step's gradient. Default: the gradient of the population, in closed form."""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "ConvTeacherConfig":
        self._sizes()
        return self

    def _sizes(self) -> tuple[int, int]:
        p = self.dimension
        if self.teacher_filter is not None:
            if p is not None and p != len(self.teacher_filter):
                raise ValueError(f"teacher_filter: {p} numbers (dimension) expected, {len(self.teacher_filter)} came")
            p = len(self.teacher_filter)
        p = 25 if p is None else p
        k = self.patches
        if self.inputs is not None:
            if self.inputs % p:
                raise ValueError(
                    f"inputs: a multiple of the patch dimension {p} expected, {self.inputs} came: "
                    f"{p} numbers a patch do not tile {self.inputs}; take a divisor of {self.inputs}"
                )
            if k is not None and k != self.inputs // p:
                raise ValueError(f"patches: {self.inputs // p} of {p} numbers tile {self.inputs}, {k} came")
            k = self.inputs // p
        if self.teacher_output is not None:
            if k is not None and k != len(self.teacher_output):
                raise ValueError(f"teacher_output: {k} numbers (patches) expected, {len(self.teacher_output)} came")
            k = len(self.teacher_output)
        k = 20 if k is None else k
        if self.teacher_output is None and self.ratio > k:
            raise ValueError(f"ratio: at most k = {k} expected (Cauchy and Schwarz), {self.ratio} came")
        if self.teacher_output is None and k == 1 and self.ratio != 1:
            raise ValueError(f"ratio: 1 expected with a single patch, {self.ratio} came")
        return k, p

    def arrays(self) -> dict[str, np.ndarray]:
        """The teacher, as given or drawn."""
        k, p = self._sizes()
        rng = np.random.default_rng([self.seed, 1])
        if self.teacher_filter is None:
            w = rng.standard_normal(p)
            w = w / np.linalg.norm(w)
        else:
            w = np.asarray(self.teacher_filter, float)
        if self.teacher_output is None:
            across = rng.standard_normal(k)
            across = across - across.mean()
            share = self.ratio / k
            a = np.full(k, math.sqrt(share / k))
            if share < 1:
                a = a + math.sqrt(1 - share) * across / np.linalg.norm(across)
            a = math.sqrt(self.square) / np.linalg.norm(w) * a if w.any() else a
        else:
            a = np.asarray(self.teacher_output, float)
        return {"teacher_filter": w, "teacher_output": a}

    def build(self, arrays: dict[str, np.ndarray]) -> ConvTeacherSystem:
        """The system of this teacher."""
        noise = None if self.batch is None else jax.random.fold_in(jax.random.key(self.seed), 1)
        w, a = (jnp.asarray(arrays[name]) for name in ("teacher_filter", "teacher_output"))
        return ConvTeacherSystem(ConvTeacher(w, a, self.batch, noise, self.start))
