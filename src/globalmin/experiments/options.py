"""The settings that belong to a system and not to a run: every command that builds a network takes all of them."""

from typing import Any

import pydantic

from .. import systems


class SystemOptions(pydantic.BaseModel):
    """A system by name, with its options; one that the system does not have is an error that says what it has.

    A new option of a system is one field here: the command line, the configuration of a run and the report follow.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    system: str
    """The system: one of `globalmin systems`."""
    activation: str | None = None
    """By name: relu, tanh, softplus, erf, gelu, ... Default: the system's own."""
    sigma_w2: float | None = None
    """equilibrium: sigma_w^2, with W_ij ~ N(0, 2 sigma_w^2 / m). Default 0.08; the theorem needs less than 1/8."""
    gamma: float | None = None
    """implicit-relu: gamma, with (gamma / sqrt m) |A| near 2 gamma at the start. Default 0.1."""

    def system_options(self) -> dict[str, Any]:
        """The options that were given."""
        given = {name: getattr(self, name) for name in SystemOptions.model_fields if name != "system"}
        return {name: value for name, value in given.items() if value is not None}

    def build_system(self) -> systems.AbstractSystem:
        """The system with its options. **Raises:** `ValueError` for an unknown name or an option that it does not have."""
        return systems.build(self.system, **self.system_options())
