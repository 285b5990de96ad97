"""Table 1: the width, iterations and step size that five works ask for; orders, without their constants and logarithms."""

import dataclasses
import math

from ..estimated import over


@dataclasses.dataclass(frozen=True)
class Row:
    """What one work asks for, as numbers. Infinite where they overflow."""

    work: str
    width: float
    iterations: float
    failure: float | None  # probability, where the table gives one
    step_size: float
    remark: str


def table1(
    n: int, depth: int, inputs: int, *, outputs: int = 1, lambda_0: float, eps: float = 1e-3, delta: float = 0.1
) -> tuple[Row, ...]:
    """The five rows of Table 1, evaluated.

    **Arguments:** `lambda_0`, the smallest eigenvalue of the limit Gram matrix, for the first row; `eps`, the loss to
    reach; `delta`, the failure probability p of the first row.

    **Returns:** orders: "~" hides constants and logarithms, which differ between the works by many powers of ten.

    **Raises:** `ValueError` for counts below 1, or eps or delta outside (0, 1).

    **Source:** Noy et al. (2021), Table 1. Their own row is a claim: see errata E11, E12 and E16.
    """
    for name, count in (("n", n), ("depth", depth), ("inputs", inputs), ("outputs", outputs)):
        if count < 1:
            raise ValueError(f"{name}: an integer of at least 1 expected, {count} came")
    for name, value in (("eps", eps), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{name}: a number strictly between 0 and 1 expected, {value} came")
    size, layers, log = float(n), float(depth), math.log(1 / eps)

    def row(work, width, iterations, failure, step_size, remark=""):
        return Row(work, width, iterations, failure, step_size, remark)

    step = lambda_0 / size**2
    width_2019 = size**24 * layers**12
    claimed = size**2 * layers * outputs
    return (
        row(
            "Du et al. 2019", over(size**6, lambda_0**4 * delta**3), over(log, step * lambda_0), delta, step,
            "1/λ₀ = poly(e^L, n); smooth activation, two classes",
        ),
        row("Zou et al. 2018", size**26 * layers**38, size**8 * layers**9, None, size**-29 * layers**-47, "two classes"),
        row(
            "Allen-Zhu et al. 2019", width_2019, size**6 * layers**2 * log, math.exp(-(math.log(width_2019) ** 2)),
            1 / (size**28 * max(math.log(width_2019), 1.0) ** 5 * layers**14), "times poly(max ‖y‖)",
        ),
        row("Zou, Gu 2019", size**8 * layers**12, size**2 * layers**2 * log, 1 / size, size**-8 * layers**-14),
        row(
            "Noy et al. 2021", claimed, math.log(size**3 * layers / (inputs * eps)), math.exp(-math.sqrt(claimed)),
            inputs / (size**4 * layers**3 * outputs), "L = Ω(log n); a claim, see errata E11, E12, E16",
        ),
    )  # fmt: skip
