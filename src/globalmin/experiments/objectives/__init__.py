from .base import AbstractObjectiveConfig as AbstractObjectiveConfig

CONFIGS: dict[str, type[AbstractObjectiveConfig]] = {}
