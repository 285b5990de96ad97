"""`globalmin certify`: every theorem about a network on data, without training."""

from pathlib import Path
from typing import ClassVar, Literal

import pydantic

from ..experiments.options import DataOptions
from .base import Command, Timed, print_json


class Certify(DataOptions, Command):
    """Evaluate every hypothesis of every theorem, and the Kantorovich certificate, for a network on data.

    Example: globalmin certify two-layer --data digits --width 2000 --activation softplus
    """

    positional: ClassVar[tuple[str, ...]] = ("system",)

    weights: Path | None = None
    """A .npz of weights (as in a run's weights/) to judge instead of the initialisation."""
    step_size: pydantic.PositiveFloat | Literal["auto", "certified"] = "auto"
    """Of L = 1/2 |u - y|^2. auto: 1 / lambda_max of the tangent kernel. certified: the largest that the Kantorovich
    certificate admits."""
    method: Literal["descent", "flow"] = "descent"
    """Gradient descent, or gradient flow."""
    centre: bool = False
    """Judge f minus the network at its initialisation, whose outputs start at 0."""
    delta: float = 0.1
    """Failure probability of the published theorems over the initialisation."""
    require: Literal["kantorovich", "published", "any"] | None = None
    """Exit with 1 unless this certificate holds: kantorovich, a published theorem with a rate, or any of them."""
    rigorous: bool = False
    """Prove the Kantorovich certificate: every number outward-rounded (needs globalmin[rigorous])."""
    certificate_file: Path | None = None
    """Write the rigorous certificate here, with its weights and data beside it, for `globalmin verify`; exit with 1 if nothing
    is proven."""
    errata: bool = False
    """Print the corrections of the sources that the theorems rest on in full."""
    json_output: bool = False
    """One JSON object for machines."""

    def run(self) -> int:
        """Evaluate and print."""
        from ..experiments import RunConfig, certify
        from ..report import print_certificate, print_rigorous

        config = RunConfig(
            **self.network_options(),
            epochs=1,
            step_size=self.step_size,
            method=self.method,
            centre=self.centre,
            delta=self.delta,
        )
        with Timed("kernels, spectra and hypotheses", self.json_output):
            certificate = certify(
                config, weights=self.weights, rigorous=self.rigorous, certificate_file=self.certificate_file
            )
        if self.json_output:
            print_json(certificate)
        else:
            print_certificate(certificate, errata=self.errata)
            if "rigorous" in certificate:
                print_rigorous(certificate["rigorous"])
        if self.certificate_file is not None and not certificate["rigorous"]["files"]:
            return 1
        return 0 if self.require is None or _holds(certificate, self.require) else 1


def _holds(certificate, which: str) -> bool:
    kantorovich = certificate.get("rigorous", certificate["kantorovich"])["verdict"] == "HOLDS"
    published = any(
        t["verdict"] == "HOLDS" and any(p["quantity"] == "loss" and p["conclusion"] for p in t["promises"])
        for t in certificate["theorems"]
    )
    return {"kantorovich": kantorovich, "published": published, "any": kantorovich or published}[which]
