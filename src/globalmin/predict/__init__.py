from .function_space import FunctionSpace as FunctionSpace
from .function_space import Posterior as Posterior
from .function_space import Prediction as Prediction
