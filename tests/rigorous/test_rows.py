"""Rows contain what 200 bits give for matrices at the very edge of their operands; patches and their transpose fit together."""

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb, arb_mat

from globalmin import systems
from globalmin.models import ConvResNet
from globalmin.rigorous import Enclosure
from globalmin.rigorous.deep import _Images, _over_pixels
from globalmin.rigorous.elementwise import FORMULAS, Elementwise
from globalmin.rigorous.rows import Rows

N, K = 4, 5


def operand(g, columns=K, scale=1.0):
    """Rows with errors from nothing to a tenth, and matrices of doubles at their edge: along one entry, and along all."""
    mid = scale * g.standard_normal((N, columns))
    off = scale * np.array([0.0, 1e-10, 1e-4, 0.1])
    members = []
    for spread in (np.eye(columns)[int(g.integers(columns))], np.ones(columns)):
        step = g.choice([-1.0, 1.0], (N, columns)) * spread
        # Just inside: mid + step is rounded too.
        members.append(mid + 0.9999 * off[:, None] * step / np.linalg.norm(step, axis=1, keepdims=True))
    return Rows(mid, off), members


def exactly(a):
    return arb_mat(a.shape[0], a.shape[1], a.ravel().tolist())


def contains(rows, truth):
    """Every row of the truth within the stated Euclidean distance."""
    for mid, off, row in zip(rows.mid.tolist(), rows.off.tolist(), truth.tolist(), strict=True):
        assert sum(((u - arb(v)) ** 2 for u, v in zip(row, mid, strict=True)), arb(0)) <= arb(off) ** 2


def inside(enclosure, truth):
    entries = truth.entries()
    for mid, rad, v in zip(enclosure.mid.ravel().tolist(), enclosure.rad.ravel().tolist(), entries, strict=True):
        assert abs(v - arb(mid)) <= arb(rad)


@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e100])
def test_linear_operations(scale):
    g = np.random.default_rng(0)
    with flint.ctx.workprec(200):
        for _ in range(10):
            (a, in_a), (b, in_b) = operand(g, scale=scale), operand(g, scale=scale)
            w = g.standard_normal((3, K))
            norm = float(np.linalg.norm(w, 2)) * (1 + 1e-12)
            factor, vector = g.standard_normal(), g.standard_normal(K)
            mask = g.random((N, K)) < 0.5
            for x, y in zip(map(exactly, in_a), map(exactly, in_b), strict=True):
                contains(a.times(Enclosure.exact(w), norm), x * exactly(w).transpose())
                contains(a.scaled(Enclosure.exact(factor)), x * arb(factor))
                contains(a + b, x + y)
                contains(a.columns(Enclosure.exact(vector)), x * exactly(np.diag(vector)))
                inside(a.dot(Enclosure.exact(vector)), x * exactly(vector[:, None]))
                contains(a.hadamard(b), arb_mat(N, K, [u * v for u, v in zip(x.entries(), y.entries(), strict=True)]))
                inside(a.product(b), x * y.transpose())
            for x in in_a:
                contains(a.masked(mask), exactly(np.where(mask, x, 0.0)))
                contains(a.rectified(), exactly(np.maximum(x, 0.0)))
                lengths = np.linalg.norm(x, axis=1)
                # 1e-12: the references are computed in doubles.
                for interval, value in (
                    (a.row_norm(), lengths.max()),
                    (a.group_norm(2), np.linalg.norm(x.reshape(2, -1), axis=1).max()),
                    (a.norm(), np.linalg.norm(x, 2)),
                    (a.largest(), np.abs(x).max()),
                ):
                    assert interval.lower <= value * (1 + 1e-12)
                    assert value <= interval.upper * (1 + 1e-12)


@pytest.mark.parametrize("name", ["tanh", "softplus", "gelu", "sin"])
def test_activations(name):
    g = np.random.default_rng(1)
    phi = Elementwise(name)
    a, members = operand(g)
    with flint.ctx.workprec(200):
        for order in range(3):
            found = a.through(phi, order)
            for x in members:
                contains(found, arb_mat(N, K, [FORMULAS[name][order](arb(v)) for v in x.ravel().tolist()]))


@pytest.mark.parametrize(("shape", "size"), [((4, 2), 3), ((3, 4, 2), 3), ((3, 3, 1), 1)])
def test_images_are_cut_and_folded_as_the_model_does(shape, size):
    """Against the model's own patches, and ⟨φ(a), b⟩ = ⟨a, φᵀ(b)⟩; rows that are off stay inside."""
    system = systems.build("conv-resnet", image_shape=shape, filter_size=size, depth=2)
    model = system.init(int(np.prod(shape)), 3, key=jax.random.key(0))
    assert isinstance(model, ConvResNet)
    images, g = _Images(model), np.random.default_rng(2)
    pixels, channels, n = images.pixels, shape[-1], 3
    a = g.standard_normal((n * pixels, channels))
    off = 0.1 * g.random(n * pixels)
    step = g.standard_normal(a.shape)
    member = a + 0.999 * off[:, None] * step / np.linalg.norm(step, axis=1, keepdims=True)
    cut = images.patches(Rows(a, off))
    theirs = np.asarray(model.patches(jnp.asarray(member.reshape(n, pixels, channels)))).reshape(n * pixels, -1)
    assert (np.linalg.norm(cut.mid - theirs, axis=1) <= cut.off).all()
    b = g.standard_normal(cut.mid.shape)
    back = images.fold(Rows(b, np.full(len(b), 0.1)))
    assert (b * images.patches(Rows.exact(a)).mid).sum() == pytest.approx((a * back.mid).sum(), rel=1e-12)
    step = g.standard_normal(b.shape)
    moved = images.fold(Rows.exact(b + 0.0999 * step / np.linalg.norm(step, axis=1, keepdims=True)))
    assert (np.linalg.norm(moved.mid - back.mid, axis=1) <= back.off).all()
    gram = _over_pixels(Rows(b, np.full(len(b), 0.01)), cut, n)
    moved = b + 0.00999 * step / np.linalg.norm(step, axis=1, keepdims=True)
    jacobian = np.stack(
        [(moved.reshape(n, pixels, -1)[i].T @ theirs.reshape(n, pixels, -1)[i]).ravel() for i in range(n)]
    )
    assert (np.abs(jacobian @ jacobian.T - gram.mid) <= gram.rad).all()
