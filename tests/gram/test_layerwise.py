"""The structured tangent kernel against the Jacobian by autodiff, which shares nothing with it but the network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, gram
from globalmin.gram import layerwise
from globalmin.models import Equilibrium, TangentBlock, TangentStack, TwoLayer


def rows(key, n, d, norm):
    x = jax.random.normal(key, (n, d))
    return norm * x / jnp.linalg.norm(x, axis=1, keepdims=True)


NETWORKS = {
    "two-layer relu": lambda key, d: TwoLayer.init(d, 40, activations.get("relu"), key=key),
    "two-layer softplus": lambda key, d: TwoLayer.init(d, 40, activations.get("softplus"), key=key),
    "two-layer tanh, both": lambda key, d: TwoLayer.init(d, 40, activations.get("tanh"), key=key, train_readout=True),
    "equilibrium relu": lambda key, d: Equilibrium.init(d, 30, activations.get("relu"), key=key),
    "equilibrium tanh": lambda key, d: Equilibrium.init(d, 30, activations.get("tanh"), key=key),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("n", "d"), [(1, 3), (6, 4)])
def test_gram_is_the_jacobian_contracted(getkey, name, n, d):
    network = NETWORKS[name](getkey(), d)
    x = rows(getkey(), n, d, jnp.sqrt(d))
    want = np.asarray(gram.jacobian(network, x))
    want = want @ want.T
    # The products are exact to length · eps; the equilibria are solved to 1e-12 of their scale, both times.
    np.testing.assert_allclose(gram.gram(network, x), want, rtol=0, atol=2e-10 * np.abs(want).max())


def test_blocks_sum_to_the_gram_and_each_is_psd(getkey):
    network = NETWORKS["equilibrium tanh"](getkey(), 4)
    x = rows(getkey(), 7, 4, 2.0)
    blocks = {k: np.asarray(v) for k, v in gram.block_grams(network, x).items()}
    np.testing.assert_allclose(sum(blocks.values()), gram.gram(network, x), rtol=1e-14)
    for block in blocks.values():
        # Backward error of the eigenvalues: n eps ‖A‖.
        assert np.linalg.eigvalsh(block)[0] >= -7 * 2.3e-16 * np.abs(block).sum()


def test_terms_shared_over_time_are_summed(getkey):
    """∂f_i/∂W = Σ_k l_ik ⊗ r_ik: against the dense Jacobian of that sum."""
    left, right = jax.random.normal(getkey(), (5, 3, 4)), jax.random.normal(getkey(), (5, 3, 2))
    dense = np.einsum("nkp,nkq->npq", left, right).reshape(5, -1)
    np.testing.assert_allclose(
        gram.grams_of({"w": TangentBlock(left, right)})["w"], dense @ dense.T, rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("slice_size", [1, 2000, 2**22])
@pytest.mark.parametrize(("p", "q"), [(2, 3), (100, 90)])
def test_many_terms_either_way_and_in_pieces(getkey, monkeypatch, slice_size, p, q):
    """9 terms: with p = 2, q = 3 they are added up first, with 100 and 90 they are not; both in tiles and whole."""
    monkeypatch.setattr(layerwise, "SLICE", slice_size)
    left, right = jax.random.normal(getkey(), (2, 7, 9, p)), jax.random.normal(getkey(), (2, 7, 9, q))
    assert layerwise._adds_up(7, 9, p, q) == (p == 2)
    jax.clear_caches()  # the slice's size is read while tracing
    for layer in range(2):
        dense = np.einsum("nkp,nkq->npq", left[layer], right[layer]).reshape(7, -1)
        found = gram.grams_of({"w": TangentBlock(left[layer], right[layer])})["w"]
        # 100 · 90 roundings at the size of the diagonal.
        np.testing.assert_allclose(found, dense @ dense.T, rtol=0, atol=2e-12 * (dense**2).sum(1).max())
        assert gram.entry_error(TangentBlock(left[layer], right[layer])) >= np.abs(found - dense @ dense.T).max()


def test_a_stack_is_the_sum_of_its_layers(getkey):
    left, right = jax.random.normal(getkey(), (3, 5, 4)), jax.random.normal(getkey(), (3, 5, 2))
    stack = TangentStack(left, right, ("a", "b", "c"))
    single = {name: TangentBlock(left[k], right[k]) for k, name in enumerate(stack.names)}
    want = sum(np.asarray(g) for g in gram.grams_of(single).values())
    np.testing.assert_allclose(gram.grams_of({"all": stack})["all"], want, rtol=1e-13)
    # Errors of the factors count four times.
    size = float(((left**2).sum(-1) * (right**2).sum(-1)).sum(0).max())
    assert gram.entry_error(stack, 1e-3) == pytest.approx(4e-3 * size, rel=1e-9)
    assert gram.entry_error(stack) == pytest.approx((4 + 2 + 2 + 3) * np.finfo(float).eps * size, rel=1e-9)


@pytest.mark.parametrize("n", [127, 128, 129, 300])
def test_halved_product_is_the_product(getkey, n):
    """Above the size at which the lower block is copied; odd sizes too."""
    a = jax.random.normal(getkey(), (n, 17))
    block = TangentBlock(a, jnp.ones((n, 1)))
    np.testing.assert_allclose(gram.grams_of({"a": block})["a"], np.asarray(a) @ np.asarray(a).T, rtol=0, atol=1e-12)


def test_float32_stays_float32(getkey):
    network = TwoLayer.init(4, 20, activations.get("relu"), key=getkey(), dtype=jnp.float32)
    x = rows(getkey(), 5, 4, 1.0).astype(jnp.float32)
    assert gram.gram(network, x).dtype == jnp.float32


def test_no_array_larger_than_the_parts(getkey):
    """Nothing of n · P entries is made: the largest intermediate is one of n², n m, m d."""
    n, d, m = 24, 8, 64
    network = TwoLayer.init(d, m, activations.get("relu"), key=getkey())
    x = rows(getkey(), n, d, 1.0)
    moved, fixed = eqx.partition(network, eqx.is_array)
    jaxpr = jax.make_jaxpr(lambda moved, x: gram.gram(eqx.combine(moved, fixed), x))(moved, x)

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            for value in equation.outvars:
                yield value.aval.size
            for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
                if hasattr(inner, "eqns"):
                    yield from sizes(inner)
                elif hasattr(inner, "jaxpr"):
                    yield from sizes(inner.jaxpr)

    assert max(sizes(jaxpr.jaxpr)) <= max(n * n, n * m, m * d)
