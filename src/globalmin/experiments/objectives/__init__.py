from .balancing import BalancingConfig as BalancingConfig
from .base import AbstractObjectiveConfig as AbstractObjectiveConfig
from .conv_filter import ConvFilterConfig as ConvFilterConfig
from .conv_teacher import ConvTeacherConfig as ConvTeacherConfig
from .factorization import FactorizationConfig as FactorizationConfig
from .saddle import SaddleConfig as SaddleConfig

CONFIGS: dict[str, type[AbstractObjectiveConfig]] = {
    kind.name: kind
    for kind in (BalancingConfig, FactorizationConfig, ConvTeacherConfig, ConvFilterConfig, SaddleConfig)
}
