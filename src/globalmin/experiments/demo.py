"""The three runs of `globalmin demo`, sized for three minutes on two cores."""

from .config import RunConfig


def demo_configs() -> dict[str, RunConfig]:
    """Digits 0 and 1: the theorem's own ReLU network, a smooth one that gets certified, and a deep equilibrium model."""
    common = {"data": "digits", "classes": (0, 1)}
    return {
        "two-layer-relu": RunConfig(
            system="two-layer", width=2000, epochs=1000, activation="relu", per_class=50, **common
        ),
        "two-layer-tanh": RunConfig(
            system="two-layer", width=4000, epochs=1500, activation="tanh", per_class=10, **common
        ),
        "equilibrium-tanh": RunConfig(
            system="equilibrium", width=500, epochs=3500, activation="tanh", per_class=10, **common
        ),
    }
