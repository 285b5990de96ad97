from .anderson import Anderson as Anderson
from .fixed_point import AbstractSolver as AbstractSolver
from .fixed_point import Iteration as Iteration
from .fixed_point import Solve as Solve
from .fixed_point import solve as solve
from .splitting import Splitting as Splitting
