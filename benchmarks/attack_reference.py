"""What `attack_descent.py` compares with: every network written out once more, and descent by its dense Jacobian.

No code is shared with the library: networks in a few lines of JAX, Jacobians by automatic differentiation, singular values by
an SVD of the Jacobian (so that small ones are not squared away), equilibria by Newton's method. Only the patterns of gated
networks are taken over, for they are part of the network.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

STEPS = 60  # of one compiled run

PHI = {
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
    "sigmoid": jax.nn.sigmoid,
    "erf": jax.scipy.special.erf,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "elu": jax.nn.elu,
    "relu": jax.nn.relu,
}


class Net(NamedTuple):
    """A network: `outputs(p, c, x, phi, z)` of its weights p, its constants c and, where there is one, its equilibrium z.

    `gains` numbers multiply the activations' values, one per application and neuron: they are all 1, and the derivative
    with respect to them is what a relative rounding of the activation does to the output.
    """

    outputs: Any
    image: Any = None  # of which z is the fixed point, for one sample
    tied: tuple[str, ...] = ()  # weights used once per layer, given as a stack, so that roundings do not cancel


def _two_layer(p, c, x, phi, z):
    return (phi(x @ p["hidden"].T) * p["gains"][0]) @ p["readout"] / jnp.sqrt(len(p["readout"]))


def _deq_image(p, c, x, phi, z):
    return phi(p["hidden"] @ z + p["inject"] @ x) * p["gains"][0]


def _deq(p, c, x, phi, z):
    return _newton(_deq_image, p, c, x, phi, z) @ p["readout"]


def _features(p, x, phi):
    return phi(x @ p["inject"].T) * p["gains"][1] / jnp.sqrt(len(p["readout"]))


def _implicit_image(p, c, x, phi, z):
    inner = c["gamma"] / jnp.sqrt(len(z)) * (p["hidden"] @ z)
    return phi(inner + _features(p, x, phi)) * p["gains"][0]


def _implicit(p, c, x, phi, z):
    return _newton(_implicit_image, p, c, x, phi, z) @ p["readout"] + _features(p, x, phi) @ p["skip"]


def _ode(p, c, x, phi, z):
    u, w, v = c["scales"]
    h = u * x @ p["inject"].T
    for k in range(len(p["hidden"])):
        h = h + c["step"] * w * (phi(h) * p["gains"][k]) @ p["hidden"][k].T
    return v * (phi(h) * p["gains"][-1]) @ p["readout"]


def _gated(p, c, x, phi, z):
    h = jax.nn.relu(x @ c["first"].T)
    for k in range(len(p["layers"])):
        before = h @ p["layers"][k].T
        h = jnp.where(c["masks"][k], before, 0)
    return (h @ c["readout"].T)[:, 0]


def _rectified(p, c, x, phi, z):
    h = jax.nn.relu(x @ c["first"].T)
    for w in p["layers"]:
        h = jax.nn.relu(h @ w.T)
    return (h @ c["readout"].T)[:, 0]


def _deep(p, c, x, phi, z, patches=lambda h: h):
    first, other, skip = c["scales"]
    h = first * phi(patches(x) @ p["first"].T) * p["gains"][0]
    for k in range(len(p["hidden"])):
        h = skip * h + other * phi(patches(h) @ p["hidden"][k].T) * p["gains"][k + 1]
    return jnp.sum(h * p["readout"], axis=tuple(range(1, h.ndim)))


def _conv(p, c, x, phi, z):
    def patches(h):  # pixels in a row, filter size 3, channel by channel
        wide = jnp.pad(h, ((0, 0), (1, 1), (0, 0)))
        pixels = h.shape[1]
        return jnp.stack([wide[:, o : o + pixels] for o in range(3)], axis=-1).reshape(len(h), pixels, -1)

    pixels = len(p["readout"])
    return _deep(p, c, x.reshape(len(x), pixels, -1), phi, z, patches)


NETS = {
    "two-layer": Net(_two_layer),
    "equilibrium": Net(_deq, _deq_image),
    "implicit-relu": Net(_implicit, _implicit_image),
    "neural-ode": Net(_ode, tied=("hidden",)),
    "gated": Net(_gated),
    "rectified": Net(_rectified),
    "dense": Net(_deep),
    "resnet": Net(_deep),
    "conv-resnet": Net(_conv),
}


def _newton(image, p, c, x, phi, z):
    """One Newton step for z = image(z), whose derivative by p at a fixed point is the implicit one."""
    z = jax.lax.stop_gradient(z)

    def one(x, z):
        slopes = jax.lax.stop_gradient(jax.jacfwd(lambda s: image(p, c, x, phi, s))(z))
        return z + jnp.linalg.solve(jnp.eye(len(z)) - slopes, image(p, c, x, phi, z) - z)

    return jax.vmap(one)(x, z)


def _solved(net, p, c, x, phi, z, count):
    """z after `count` Newton steps, and what is left of its equation."""
    if net.image is None:
        return z, jnp.zeros(())
    z = jax.lax.fori_loop(0, count, lambda _, z: _newton(net.image, p, c, x, phi, z), z)
    left = jax.vmap(lambda x, z: net.image(p, c, x, phi, z) - z)(x, z)
    return z, jnp.max(jnp.abs(left)) / (1 + jnp.max(jnp.abs(z)))


class Record(NamedTuple):
    """At θ_0, θ_1, ...: what the promises are about."""

    rho: Any
    length: Any  # of the step to the next one
    distance: Any  # from θ_0
    sigma: Any  # smallest singular value of J
    top: Any  # largest
    floor: Any  # bound on the rounding of rho
    left: Any  # of the equilibrium's equation
    size: Any  # ‖θ‖


def _at(net, phi, p, fixed, c, x, y, z):
    """Residual, gradient and the record at weights p."""
    z, left = _solved(net, {**p, **fixed}, c, x, phi, z, 4)
    layers = next(iter(fixed["gains"].shape)) - 1
    spread = {k: jnp.broadcast_to(v, (layers, *v.shape)) if k in net.tied else v for k, v in {**p, **fixed}.items()}

    def outputs(q):
        return net.outputs(q, c, x, phi, z)

    u, jac = outputs(spread), jax.jacrev(outputs)(spread)
    # Each product rounds by its length times eps of its terms: as if every weight were off by as much, relatively, and
    # every activation too. The 8 are the elementwise operations, and the rounding of the weights as they are stored.
    unit = (max(max(v.shape[-1:], default=1) for v in spread.values()) + x.shape[1] + 8) * jnp.finfo(x.dtype).eps
    terms = sum(jnp.sum(jnp.abs(jac[k] * v), axis=tuple(range(1, jac[k].ndim))) for k, v in spread.items())
    floor = unit * jnp.linalg.norm(terms + jnp.abs(u) + jnp.abs(y))
    jac = {k: jac[k].sum(1) if k in net.tied else jac[k] for k in p}
    rows = jnp.concatenate([jac[k].reshape(len(x), -1) for k in p], axis=1)
    values = jnp.linalg.svd(rows, compute_uv=False)
    small = values[-1] if len(x) <= rows.shape[1] else jnp.zeros(())
    r = u - y
    gradient = {k: jnp.tensordot(r, jac[k], 1) for k in p}
    return gradient, z, (jnp.linalg.norm(r), _norm(gradient), small, values[0], floor, left)


def _norm(tree):
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


def _moved(p, gradient, eta):
    return {k: p[k] - eta * gradient[k] for k in p}


@functools.partial(jax.jit, static_argnames=("name", "activation", "flow"))
def run(name, activation, flow, start, p, fixed, c, x, y, z, etas):
    """`STEPS` steps from p for each of the step sizes, and the state reached. A flow is integrated by the classical
    Runge-Kutta method; its `length` is by Simpson's rule. `p` and `z` have the runs as leading axis."""
    net, phi = NETS[name], PHI[activation]

    def one(p, z, eta):
        def body(state, _):
            p, z = state
            g, z, (rho, size, small, top, floor, left) = _at(net, phi, p, fixed, c, x, y, z)
            distance = _norm({k: p[k] - start[k] for k in p})
            length, new = eta * size, _moved(p, g, eta)
            if flow:
                g2, _, (_, size2, *_) = _at(net, phi, _moved(p, g, eta / 2), fixed, c, x, y, z)
                g3, _, (_, size3, *_) = _at(net, phi, _moved(p, g2, eta / 2), fixed, c, x, y, z)
                g4, _, (_, size4, *_) = _at(net, phi, _moved(p, g3, eta), fixed, c, x, y, z)
                mean = {k: (g[k] + 2 * g2[k] + 2 * g3[k] + g4[k]) / 6 for k in g}
                length, new = eta * (size + 2 * size2 + 2 * size3 + size4) / 6, _moved(p, mean, eta)
            return (new, z), Record(rho, length, distance, small, top, floor, left, _norm(p))

        return jax.lax.scan(body, (p, z), None, length=STEPS)

    return jax.vmap(one)(p, z, etas)


@functools.partial(jax.jit, static_argnames=("name", "activation"))
def equilibrium(name, activation, p, c, x, width):
    """The fixed point to start from: averaged iterations, then Newton's; zeros without an equilibrium."""
    net, phi = NETS[name], PHI[activation]
    z = jnp.zeros((len(x), len(width)))
    if net.image is None:
        return z, jnp.zeros(())
    each = jax.vmap(lambda x, z: net.image(p, c, x, phi, z))
    z = jax.lax.fori_loop(0, 300, lambda _, z: (z + each(x, z)) / 2, z)
    return _solved(net, p, c, x, phi, z, 8)


def gains(layers: int, width: int) -> np.ndarray:
    """The ones that multiply the activations."""
    return np.ones((layers, width))
