from .base import AbstractKernel as AbstractKernel
from .equilibrium import EquilibriumKernel as EquilibriumKernel
from .equilibrium import UnrolledEquilibriumKernel as UnrolledEquilibriumKernel
from .implicit import GeometricBound as GeometricBound
from .implicit import ImplicitKernel as ImplicitKernel
from .implicit import geometric_lower_bound as geometric_lower_bound
from .two_layer import TwoLayerKernel as TwoLayerKernel
from .two_layer import h_infinity as h_infinity
