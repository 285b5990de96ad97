"""`globalmin reproduce`: a paper's figure with its claims as numbers."""

from pathlib import Path
from typing import ClassVar, Literal

from .base import Bar, Command, print_json


class Reproduce(Command):
    """Draw a paper's panels and check its claims as numbers: PASS or FAIL per claim, exit code 1 when one fails.

    Example: globalmin reproduce du2019-fig2.1 --out runs/fig2.1
    """

    positional: ClassVar[tuple[str, ...]] = ("figure",)

    figure: str
    """du2019-fig2.1, -ch3, -fig4.1, -fig4.2, -fig5.1, -fig5.2, -table5.1, -fig6.3, -fig6.4, -fig7.2, -fig7.3, -fig7.4,
    ling2023-fig1, gao2022-fig1, noy2021-fig2, noy2021-fig3, noy2021-fig4, neural-ode-convergence, neural-ode-activations."""
    out: Path
    """The folder to write; it must not exist or be empty."""
    scale: Literal["small", "paper"] = "small"
    """small: minutes on two cores. paper: the paper's own sizes."""
    seed: int = 0
    """Seed of data and initialisation."""
    json_output: bool = False
    """One JSON object for machines, no progress bar."""

    def run(self) -> int:
        """Run every panel, print the claims."""
        from ..experiments import reproduce
        from ..report import print_claims

        def bar(title: str, epochs: int) -> Bar:
            return Bar(title, epochs, self.json_output)

        found = reproduce(self.figure, self.out, scale=self.scale, seed=self.seed, bar=bar)
        if self.json_output:
            print_json(found)
        else:
            print_claims(found)
        return 0 if all(claim["passed"] for claim in found["claims"]) else 1
