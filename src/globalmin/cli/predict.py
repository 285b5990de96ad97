"""`globalmin predict`: training in function space, without training."""

from pathlib import Path
from typing import ClassVar

from ..experiments.predict import PredictConfig
from .base import Command, Timed, print_json


class Predict(PredictConfig, Command):
    """Predict the outputs of training under a fixed kernel: gradient flow, descent, kernel ridge, or a Gaussian process.

    Example: globalmin predict two-layer --data digits --kernel ntk --steps 500 --out outputs.npz
    """

    positional: ClassVar[tuple[str, ...]] = ("system",)

    out: Path | None = None
    """A new .npz for the outputs: train, test, labels, and the covariance of a posterior."""
    json_output: bool = False
    """One JSON object for machines."""

    def run(self) -> int:
        """Predict, write, print."""
        from ..experiments import predict
        from ..report import print_prediction

        config = PredictConfig(**{name: getattr(self, name) for name in PredictConfig.model_fields})
        with Timed(f"{config.kernel} of {config.system}", self.json_output):
            found = predict(config, out=self.out)
        if self.json_output:
            print_json(found)
        else:
            print_prediction(found)
        return 0
