from .equilibrium import EquilibriumCurvature as EquilibriumCurvature
from .two_layer import TwoLayerCurvature as TwoLayerCurvature
