"""The two runs of `globalmin demo`, sized for three minutes on two cores."""

from .config import RunConfig


def demo_configs() -> dict[str, RunConfig]:
    """Digits 0 and 1, 50 of each: a two-layer network and a deep equilibrium model."""
    common = {"data": "digits", "classes": (0, 1), "per_class": 50}
    return {
        "two-layer": RunConfig(system="two-layer", width=2000, epochs=3000, activation="relu", **common),
        "equilibrium": RunConfig(system="equilibrium", width=1000, epochs=400, activation="relu", **common),
    }
