from .base import AbstractExactObjective as AbstractExactObjective
from .base import AbstractObjective as AbstractObjective
from .base import Evaluation as Evaluation
from .base import FunctionObjective as FunctionObjective
