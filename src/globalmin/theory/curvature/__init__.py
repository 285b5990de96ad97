from .deep import DeepCurvature as DeepCurvature
from .equilibrium import EquilibriumCurvature as EquilibriumCurvature
from .equilibrium import resolvent_bounds as resolvent_bounds
from .gated import GatedCurvature as GatedCurvature
from .implicit import ImplicitCurvature as ImplicitCurvature
from .two_layer import TwoLayerCurvature as TwoLayerCurvature
from .two_layer_local import LocalDrift as LocalDrift
from .two_layer_local import local_drift as local_drift
