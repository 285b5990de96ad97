from .base import AbstractModel as AbstractModel
from .base import Step as Step
from .base import TangentBlock as TangentBlock
from .equilibrium import Equilibrium as Equilibrium
from .fixed_point_layer import AbstractEquilibriumModel as AbstractEquilibriumModel
from .implicit import Implicit as Implicit
from .two_layer import TwoLayer as TwoLayer
