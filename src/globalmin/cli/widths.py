"""`globalmin widths`: Table 1 of Noy et al. as a calculator, beside the project's own certificate."""

from typing import ClassVar, Literal

import pydantic

from .base import Command, Timed, print_json


class Widths(Command):
    """How wide must a deep network be? What five works ask for, and where this project's certificate holds.

    Table 1 of Noy et al. (2021) with numbers in it. The published rows are orders, without their constants.

    Example: globalmin widths --n 20 --depth 2 --inputs 100
    """

    positional: ClassVar[tuple[str, ...]] = ()

    n: pydantic.PositiveInt
    """Samples."""
    depth: pydantic.PositiveInt
    """L, trained layers."""
    inputs: pydantic.PositiveInt
    """d_x, the dimension of the inputs."""
    outputs: pydantic.PositiveInt = 1
    """d_y, the number of outputs."""
    lambda_0: pydantic.PositiveFloat | None = None
    """Smallest eigenvalue of the limit Gram matrix, for the first row. Default: of random unit rows."""
    eps: float = 1e-3
    """The loss to reach."""
    delta: float = 0.1
    """Failure probability of the first row."""
    largest: pydantic.PositiveInt = 1024
    """Largest width at which the certificate is evaluated."""
    gates: Literal["chain", "inputs", "low-rank"] = "chain"
    """Gates of the network that the certificate is evaluated on."""
    seed: int = 0
    """Seed of data and initialisation."""
    json_output: bool = False
    """One JSON object for machines."""

    def run(self) -> int:
        """Evaluate and print."""
        from ..experiments import widths
        from ..report import print_widths

        with Timed("the certificate at doubling widths", self.json_output):
            found = widths(
                self.n,
                self.depth,
                self.inputs,
                outputs=self.outputs,
                lambda_0=self.lambda_0,
                eps=self.eps,
                delta=self.delta,
                largest=self.largest,
                gates=self.gates,
                seed=self.seed,
            )
        if self.json_output:
            print_json(found)
        else:
            print_widths(found)
        return 0
