from .base import AbstractKernel as AbstractKernel
from .equilibrium import EquilibriumKernel as EquilibriumKernel
from .equilibrium import UnrolledEquilibriumKernel as UnrolledEquilibriumKernel
from .two_layer import TwoLayerKernel as TwoLayerKernel
from .two_layer import h_infinity as h_infinity
