"""Training in function space: what gradient flow and descent do to the outputs when the tangent kernel stays as it is.

Convention: L = ½‖u − y‖², a sum over samples. With a constant tangent kernel K the outputs of gradient flow solve
du/dt = −K (u − y), and a step of gradient descent is u ← u − η K (u − y): it is worth a time of η. Eigenvalues of K are
rates per unit of that time; for the mean of the squares, time and step size are n times longer. K is taken in whatever
parametrisation it was computed in: that of the network's own scaling, as `kernels` and `gram` return it.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from .._core import linalg, numerics
from .._core.numerics import EPS

CONVENTION = "L = ½‖u − y‖², a sum over the samples; du/dt = −K(u − y); a step of size η is a time of η; K as handed in"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Outputs on the training and the test inputs, how they came about, and the convention of time and loss."""

    method: str  # in words: gradient flow at time t, gradient descent after k steps of size η, kernel ridge
    time: float  # of gradient flow; k η for descent; infinity where there is no time
    train: np.ndarray  # (n,)
    test: np.ndarray  # (m,); m = 0 without test inputs
    loss: float  # ½‖u − y‖² on the training set
    stable: bool  # whether the linear dynamics converge: always for flow, η < 2/λ_max for descent
    kernel: str
    convention: ClassVar[str] = CONVENTION


@dataclasses.dataclass(frozen=True)
class Posterior:
    """Mean and covariance of a Gaussian process at the test inputs, given the labels of the training inputs."""

    mean: np.ndarray  # (m,)
    covariance: np.ndarray  # (m, m), of the noiseless function
    noise: float  # variance of the labels' noise
    log_evidence: float  # log density of the labels
    kernel: str


class FunctionSpace:
    """Linear training dynamics under one kernel, by one eigendecomposition.

    **Arguments:**

    - `train_train`: K on the training inputs, symmetric positive semidefinite, float64: a limit kernel or the empirical
      Gram matrix J Jᵀ of a network.
    - `y`: labels. `outputs`: u(0), default 0, the mean over initialisations.
    - `test_train`: K between test inputs (rows) and training inputs; `test_outputs`: their u(0), default 0.
    - `kernel`: a name for it, shown in results. `entry_error`: bound on the error of the entries of `train_train`.

    **Raises:** `ValueError` for shapes that do not fit, entries that are not finite, or a matrix that has a negative
    eigenvalue beyond rounding.

    **Cost:** one `scipy.linalg.eigh`, n³; then n² for a prediction and n for a loss.
    """

    def __init__(
        self,
        train_train: Float[Array | np.ndarray, "n n"],
        y: Float[Array | np.ndarray, " n"],
        *,
        outputs: Float[Array | np.ndarray, " n"] | None = None,
        test_train: Float[Array | np.ndarray, "m n"] | None = None,
        test_outputs: Float[Array | np.ndarray, " m"] | None = None,
        kernel: str = "K",
        entry_error: float = 0.0,
    ):
        gram = _matrix("train_train", train_train, (None, None))
        n = len(gram)
        if gram.shape != (n, n):
            raise ValueError(f"train_train: a square matrix expected, shape {gram.shape} came")
        self.y = _matrix("y", y, (n,))
        self.outputs = np.zeros(n) if outputs is None else _matrix("outputs", outputs, (n,))
        self.test_train = None if test_train is None else _matrix("test_train", test_train, (None, n))
        if self.test_train is None and test_outputs is not None:
            raise ValueError("test_outputs: test_train expected with it, none came")
        m = 0 if self.test_train is None else len(self.test_train)
        self.test_outputs = np.zeros(m) if test_outputs is None else _matrix("test_outputs", test_outputs, (m,))
        self.kernel = kernel
        if not np.allclose(gram, gram.T, rtol=0, atol=1e-8 * float(np.abs(gram).max()) + entry_error):
            raise ValueError(
                "train_train: a symmetric matrix expected; symmetrise it, or hand in the kernel of one set"
            )
        values, self.vectors = scipy.linalg.eigh(gram, check_finite=False, driver="evd")
        self.error = n * (EPS * float(np.abs(values).max()) + entry_error)
        if values[0] < -self.error:
            raise ValueError(
                f"train_train: a positive semidefinite matrix expected, λ_min = {values[0]:.3g} ± {self.error:.1g} came; "
                "it is no kernel of these inputs"
            )
        # A negative eigenvalue is rounding, and as a rate it would grow without bound.
        self.eigenvalues = np.maximum(values, 0.0)

    @cached_property
    def residual(self) -> np.ndarray:
        """u(0) − y in the eigenbasis."""
        return self.vectors.T @ (self.outputs - self.y)

    @property
    def lambda_max(self) -> linalg.Estimate:
        """The largest rate."""
        return linalg.Estimate(float(self.eigenvalues[-1]), self.error)

    @property
    def largest_step_size(self) -> float:
        """2/λ_max: below it every component of the residual shrinks, above it the fastest grows."""
        top = float(self.eigenvalues[-1])
        return 2 / top if top > 0 else math.inf

    def flow(self, time: float) -> Prediction:
        """Outputs of gradient flow at a time, infinity included.

        **Raises:** `ValueError` for a negative time, and for infinity if K is singular: then the limit depends on the
        rounding of the smallest eigenvalues.
        """
        if not time >= 0:
            raise ValueError(f"time: a number of at least 0 expected, {time} came")
        if math.isinf(time):
            self._check_regular("gradient flow for all time")
            left, gained = np.zeros_like(self.eigenvalues), -1 / self.eigenvalues
        else:
            rates = self.eigenvalues * time
            left = np.exp(-rates)
            gained = _over(np.expm1(-rates), self.eigenvalues, -time)
        return self._prediction(f"gradient flow at time {time:.6g}", float(time), left, gained, True)

    def descent(self, step_size: float, steps: int) -> Prediction:
        """Outputs of gradient descent after so many steps, as it is, discrete.

        A step size of 2/λ_max or more diverges in the linear dynamics; the result says so in `stable` and is returned.

        **Raises:** `ValueError` for a step size that is not positive, or a negative number of steps.
        """
        left, gained, stable = self._descended(step_size, steps)
        return self._prediction(
            f"gradient descent after {steps} steps of size {step_size:.6g}", steps * step_size, left, gained, stable
        )

    def ridge(self, penalty: float) -> Prediction:
        """Kernel ridge: the minimiser of ½‖u − y‖² + ½ `penalty` ‖f − f(0)‖² in the kernel's own norm.

        u = u(0) + K (K + ρ)⁻¹ (y − u(0)). **Raises:** `ValueError` for a negative penalty, and for 0 if K is singular.
        """
        if not 0 <= penalty < math.inf:
            raise ValueError(f"penalty: a number of at least 0 expected, {penalty} came")
        if penalty == 0:
            self._check_regular("ridge without a penalty")
        return self._prediction(
            f"kernel ridge with penalty {penalty:.6g}",
            math.inf,
            penalty / (self.eigenvalues + penalty),
            -1 / (self.eigenvalues + penalty),
            True,
        )

    def posterior(self, test_test: Float[Array | np.ndarray, "m m"], noise: float = 0.0) -> Posterior:
        """The Gaussian process of covariance K, mean 0, conditioned on the labels: for K = NNGP the Bayesian network.

        **Arguments:** `test_test`: K on the test inputs; `noise`: variance of independent Gaussian noise of the labels.

        **Raises:** `ValueError` without `test_train`, for initial outputs (the prior has mean 0), a negative `noise`,
        and for 0 if K is singular.
        """
        if self.test_train is None:
            raise ValueError("posterior: test_train expected, none came; hand in the kernel between test and training")
        if self.outputs.any() or self.test_outputs.any():
            raise ValueError("posterior: a prior of mean 0 expected, initial outputs came; leave them out")
        m = len(self.test_train)
        prior = _matrix("test_test", test_test, (m, m))
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise: a variance of at least 0 expected, {noise} came")
        if noise == 0:
            self._check_regular("a posterior without noise")
        cross, spread = self.test_train @ self.vectors, self.eigenvalues + noise
        coefficients = self.vectors.T @ self.y
        covariance = prior - (cross / spread) @ cross.T
        evidence = -0.5 * float(np.sum(coefficients**2 / spread + np.log(2 * math.pi * spread)))
        return Posterior(
            cross @ (coefficients / spread), (covariance + covariance.T) / 2, float(noise), evidence, self.kernel
        )

    def losses(self, times: Sequence[float] | np.ndarray) -> np.ndarray:
        """½‖u(t) − y‖² of gradient flow at each time."""
        return self._losses(-np.asarray(times, float)[:, None] * self.eigenvalues)

    def descent_losses(self, step_size: float, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """½‖u − y‖² of gradient descent after each number of steps; infinity where it overflows."""
        _check_step(step_size)
        with np.errstate(divide="ignore"):
            logarithms = np.log(np.abs(1 - step_size * self.eigenvalues))
        with np.errstate(invalid="ignore"):
            exponents = np.asarray(steps, float)[:, None] * logarithms
        return self._losses(np.where(np.isnan(exponents), 0.0, exponents))  # 0 steps times log 0

    def _losses(self, exponents: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return 0.5 * np.sum(np.exp(2 * exponents) * self.residual**2, axis=1)

    def _descended(self, step_size: float, steps: int) -> tuple[np.ndarray, np.ndarray, bool]:
        _check_step(step_size)
        numerics.check_count("steps", steps, least=0)
        factors = 1 - step_size * self.eigenvalues
        with np.errstate(over="ignore"):
            left = factors**steps
        # (1 − ηλ)^k − 1 keeps its digits for small ηλ through log1p, which asks for a positive factor.
        small = step_size * self.eigenvalues < 0.5
        change = np.where(
            small, np.expm1(steps * np.log1p(-np.where(small, step_size * self.eigenvalues, 0.0))), left - 1
        )
        return left, _over(change, self.eigenvalues, -step_size * steps), step_size < self.largest_step_size

    def _prediction(self, method: str, time: float, left: np.ndarray, gained: np.ndarray, stable: bool) -> Prediction:
        """From what is left of each component of the residual, and (that − 1)/λ, which test outputs are made of."""
        remaining = left * self.residual
        test = self.test_outputs
        if self.test_train is not None:
            test = test + self.test_train @ (self.vectors @ (gained * self.residual))
        return Prediction(
            method, time, self.y + self.vectors @ remaining, test, float(remaining @ remaining) / 2, stable, self.kernel
        )

    def _check_regular(self, what: str) -> None:
        if self.eigenvalues[0] <= self.error:
            raise ValueError(
                f"{what}: a positive definite kernel expected, λ_min = {self.eigenvalues[0]:.3g} ± {self.error:.1g} came; "
                "drop parallel rows, or give a finite time, a penalty or noise"
            )


def _over(change: np.ndarray, eigenvalues: np.ndarray, limit: float) -> np.ndarray:
    """change/λ, and its limit where λ = 0."""
    zero = eigenvalues == 0
    return np.where(zero, limit, change / np.where(zero, 1.0, eigenvalues))


def _check_step(step_size: float) -> None:
    if not 0 < step_size < math.inf:
        raise ValueError(f"step_size: a positive number expected, {step_size} came")


def _matrix(name: str, value, shape: tuple[int | None, ...]) -> np.ndarray:
    array = np.asarray(value)
    numerics.require_float64(name, array)
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        wanted = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
        raise ValueError(f"{name}: shape {wanted} expected, {array.shape} came")
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name}: finite entries expected, NaN, infinity or nothing came")
    return array
