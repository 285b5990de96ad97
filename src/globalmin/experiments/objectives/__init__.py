from .base import AbstractObjectiveConfig as AbstractObjectiveConfig
from .conv_filter import ConvFilterConfig as ConvFilterConfig
from .conv_teacher import ConvTeacherConfig as ConvTeacherConfig

CONFIGS: dict[str, type[AbstractObjectiveConfig]] = {kind.name: kind for kind in (ConvTeacherConfig, ConvFilterConfig)}
