"""Each way a solve can end, with the advice that is shown to the user."""

import optimistix as optx


class UnsolvedError(ValueError):
    """An equilibrium that a certificate needs could not be solved; the message is the result's advice, one line."""


class RESULTS(optx.RESULTS):  # pyright: ignore[reportGeneralTypeIssues]
    """How an equilibrium, an adjoint or a training step ended; `RESULTS[result]` is the message."""

    not_converged = (
        "the fixed-point solve reached its last iteration above the tolerance: raise `max_steps`, loosen `tolerance`, "
        "or shrink the operator norm of the hidden weight"
    )
    not_contractive = (
        "the hidden weight left the region in which the equilibrium is known to exist: lower the step size or start "
        "from a smaller weight variance"
    )
    loss_diverged = "the loss grew beyond recovery: lower the step size below 2 / lambda_max of the Gram matrix"
    loss_nonfinite = "the loss is NaN or infinite: lower the step size, and look for NaN or huge values in the data"
    underflow = (
        "a coordinate has underflowed: from here on rounding decides and not the function; count in the log domain, or "
        "perturb"
    )
    integrator_failed = (
        "the integrator of gradient flow ran out of steps: make an epoch shorter (a smaller step size), and look at "
        "the operator norms, which may be growing"
    )
    states_overflowed = (
        "the states of the network overflowed: lower sigma_w times the horizon (1 is a good value of the product), or "
        "take a bounded activation such as tanh"
    )
    solver_failed = (
        "the adaptive solver did not reach the horizon within its steps: loosen the tolerance, lower sigma_w times the "
        "horizon, or take a bounded activation such as tanh"
    )
