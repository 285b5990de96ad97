"""The commands by name. Each is a typed configuration with a `run` that returns the exit code."""

from .base import Command, Group
from .certify import Certify
from .demo import Demo
from .gradients import Gradients
from .kernel import Kernel
from .objective import GROUP
from .plan import Plan
from .predict import Predict
from .report import Report
from .reproduce import Reproduce
from .resume import Resume
from .systems import Systems
from .train import Train
from .verify import Verify
from .widths import Widths

DESCRIPTION = (
    "Will gradient descent reach zero training loss: for this network, on this data? How fast, and does it? "
    "Begin with: globalmin demo. Every command has --help with an example. "
    "Exit code 0: done; 1: a certificate or a claim fails where one was demanded; 2: bad input."
)

COMMANDS: dict[str, type[Command] | Group] = {
    "demo": Demo,
    "systems": Systems,
    "kernel": Kernel,
    "certify": Certify,
    "verify": Verify,
    "plan": Plan,
    "widths": Widths,
    "gradients": Gradients,
    "predict": Predict,
    "train": Train,
    "objective": GROUP,
    "resume": Resume,
    "report": Report,
    "reproduce": Reproduce,
}
