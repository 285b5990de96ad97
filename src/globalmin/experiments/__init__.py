from .config import RunConfig as RunConfig
from .demo import demo_configs as demo_configs
from .reproduce import FIGURES as FIGURES
from .reproduce import reproduce as reproduce
from .run import certify as certify
from .run import execute as execute
from .run import resumable as resumable
from .run import resume as resume
