"""The 300-bit reference of the deep networks and of the two-layer network's local constants; see attack_layers.py."""

import itertools
import math
from typing import Any

import numpy as np
from attack_certificates import matrix, spectrum, two_layer_truth
from attack_layers import (
    Layered,
    by_state,
    entry_max,
    entrywise,
    jacobian,
    length,
    measured,
    norm,
    rows_max,
    second,
    slope,
    suprema,
    value,
)  # fmt: skip
from flint import arb, arb_mat


def deep_truth(model: Any, x: np.ndarray) -> Layered:
    """Fully connected, residual and convolutional networks; a state is one row per sample, its pixels after each other."""
    name, n = model.activation.name, len(x)
    m, depth = np.asarray(model.readout).shape[-1], len(model.hidden) + 1
    root_m = arb(m).sqrt()
    first = arb(float(model.c_sigma)).sqrt() / root_m
    residual = model.skip
    rest = arb(float(model.c_res)) / (depth * root_m) if residual else first
    kappa = [first] + [rest] * (depth - 1)
    shape = getattr(model, "image_shape", None)
    sides, size = ((1,), 1) if shape is None else (shape[:-1], model.filter_size)
    pixels = math.prod(sides)
    places = list(itertools.product(*(range(s) for s in sides)))
    steps = list(itertools.product(range(-(size // 2), size // 2 + 1), repeat=len(sides)))
    patch = len(steps)
    weights = {str(h): matrix(np.asarray(w)) for h, w in enumerate([model.first, *model.hidden])}
    weights["a"] = matrix(np.asarray(model.readout).reshape(-1, 1))

    def cut(state: Any) -> Any:
        """Rows (sample, pixel) of patches, channel by channel."""
        channels, found = state.ncols() // pixels, []
        for row in state.tolist():
            for place in places:
                out = []
                for channel in range(channels):
                    for step in steps:
                        at = tuple(p + s for p, s in zip(place, step, strict=True))
                        out.append(row[places.index(at) * channels + channel] if at in places else arb(0))
                found.append(out)
        return arb_mat(found)

    def layer(state: Any, w: dict[str, Any], h: int) -> tuple[Any, Any]:
        before = cut(state) * w[str(h)].transpose()
        branch = arb_mat(state.nrows(), pixels * m, (value(name, before) * kappa[h]).entries())
        return (state + branch if residual and h > 0 else branch), before

    def onwards(state: Any, w: dict[str, Any], start: int = 0) -> Any:
        for h in range(start, depth):
            state = layer(state, w, h)[0]
        return state

    rows = matrix(x)
    outputs = (onwards(rows, weights) * weights["a"]).entries()
    low, high = measured(jacobian(lambda w: (onwards(rows, w) * w["a"]).entries(), weights, list(weights)))
    states, befores = [rows], []
    for h in range(depth):
        after, before = layer(states[-1], weights, h)
        states.append(after)
        befores.append(before)
    s1, s2, s3 = suprema(name)
    known = {"lambda_min_all": low, "lambda_max": high}
    known["lambda_min_readout"] = spectrum(states[-1] * states[-1].transpose())[0]
    grouped = lambda a: rows_max(arb_mat(n, a.nrows() * a.ncols() // n, a.entries()))  # noqa: E731
    for h in range(depth):
        g = by_state(lambda s, h=h: (onwards(s, weights, h + 1) * weights["a"]).entries(), states[h + 1])
        g = arb_mat(n * pixels, m, g.entries())
        slopes, w, z = slope(name, befores[h]), weights[str(h)], cut(states[h])
        delta = entrywise(lambda u, v, k=kappa[h]: k * u * v, slopes, g)
        steep = [max((abs(row[j]) for row in slopes.tolist()), key=lambda v: v.mid()) for j in range(m)]
        found = {
            "weight_norm": norm(w),
            "weight_row": rows_max(w),
            "sloped_norm": norm(arb_mat([[s * v for v in row] for s, row in zip(steep, w.tolist(), strict=True)])),
            "slope_max": entry_max(slopes),
            "input_norm": norm(z),
            "input_max": grouped(z),
            "input_row": rows_max(z),
            "left_norm": norm(delta),
            "left_max": grouped(delta),
            "cotangent_max": entry_max(g),
            "bent_max": entry_max(entrywise(lambda z, v: second(name, z) * v, befores[h], g)),
        }
        if pixels == 1:
            products = z * z.transpose()
            found["input_fourth"] = spectrum(entrywise(lambda v: v * v, products))[-1].nonnegative_part().sqrt()
        known |= {f"{k}@{h + 1}": v for k, v in found.items()}
    root_q = arb(patch).sqrt()

    def least(*parts: Any) -> Any:
        return min(parts, key=lambda v: v.mid())

    def constants(radius: Any) -> tuple[dict[str, Any], Any]:
        """By the formulas of docs/theory/deep-curvature.md; matrices Q and P with layers as indices from 0."""
        at = [{k: known.get(f"{k}@{h + 1}") for k in ("input_fourth", *found)} for h in range(depth)]
        q, p = (np.zeros((depth, depth), object) for _ in range(2))
        norms, maxima, chis, shifts, slopes, through = [], [], [], [], [], []
        one = every = arb(0)
        for h in range(depth):
            maxima.append(at[h]["input_max"] + root_q * one)
            norms.append(at[h]["input_norm"] + root_q * every)
            chi = at[h]["input_fourth"]
            chi = (at[h]["input_max"] * at[h]["input_norm"] if chi is None else chi).sqrt() + root_q * every
            chis.append(least(chi * chi, maxima[h] * norms[h]))
            reach = [(at[h]["weight_row"] + radius) * q[h - 1, k] * maxima[k] for k in range(h)]
            shifts.append(radius * length([*reach, at[h]["input_row"] + one]))
            slopes.append(least(s1, at[h]["slope_max"] + s2 * shifts[h]))
            weight = at[h]["weight_norm"]
            steep = least(
                slopes[h] * (weight + radius), at[h]["sloped_norm"] + s2 * shifts[h] * weight + slopes[h] * radius
            )
            through.append((1 if residual else 0) + kappa[h] * root_q * steep)
            p[h, h], q[h, h] = arb(1), kappa[h] * slopes[h]
            for k in range(h):
                p[h, k], q[h, k] = (weight + radius) * root_q * q[h - 1, k], through[h] * q[h - 1, k]
            one, every = (radius * length([q[h, k] * s[k] for k in range(h + 1)]) for s in (maxima, norms))
        gamma, gammas = arb(1), arb(n).sqrt()
        bents, lefts, all_lefts = [arb(0)] * depth, [arb(0)] * depth, [arb(0)] * depth
        for h in reversed(range(depth)):
            a = at[h]
            bents[h] = least(
                s2 * (a["cotangent_max"] + radius * gamma),
                a["bent_max"] + s2 * radius * gamma + s3 * shifts[h] * a["cotangent_max"],
            )
            of_one, of_all = (length([p[h, k] * s[k] for k in range(h + 1)]) for s in (maxima, norms))
            lefts[h] = a["left_max"] + radius * kappa[h] * (slopes[h] * gamma + bents[h] * of_one)
            all_lefts[h] = a["left_norm"] + radius * kappa[h] * (slopes[h] * gammas + bents[h] * of_all)
            extra = kappa[h] * (a["weight_norm"] + radius) * bents[h]
            gamma = through[h] * gamma + root_q * (lefts[h] + extra * of_one)
            gammas = through[h] * gammas + root_q * (all_lefts[h] + extra * of_all)
        found_blocks = arb_mat(depth + 1, depth + 1)
        for k in range(depth):
            found_blocks[depth, k] = found_blocks[k, depth] = q[depth - 1, k] * norms[k]
            for j in range(k + 1):
                bent = sum((kappa[h] * bents[h] * p[h, k] * p[h, j] for h in range(k, depth)), arb(0))
                bent = bent * (chis[k] * chis[j]).sqrt()
                if j < k:
                    bent += root_q * q[k - 1, j] * least(lefts[k] * norms[j], all_lefts[k] * maxima[j])
                found_blocks[k, j] = found_blocks[j, k] = bent
        whole = norm(found_blocks)
        return {"all": whole, "readout": length([q[depth - 1, k] * norms[k] for k in range(depth)])}, whole

    return Layered(outputs, {"all": low, "readout": known["lambda_min_readout"]}, high, constants, known, "readout")


def local_truth(w: np.ndarray, a: np.ndarray, x: np.ndarray, name: str) -> Layered:
    """The two-layer network with its local constants as the block "local"."""
    plain, m = two_layer_truth(w, a, x, name), len(a)
    h, g = matrix(x) * matrix(w).transpose(), matrix(x) * matrix(x).transpose()
    slopes = slope(name, h)
    readout = [arb(float(v)) for v in a]
    weighted = arb_mat([[s * v for s, v in zip(row, readout, strict=True)] for row in slopes.tolist()])
    if not plain.lambda_min > 0:
        bend = plain.bend
        return Layered(
            plain.outputs,
            {"all": plain.lambda_min},
            plain.lambda_max,
            lambda radius: ({"all": bend}, bend),
            plain.quantities,
        )
    inverse = entrywise(lambda u, v: u * v / m, weighted * weighted.transpose(), g).inv()

    def largest(power: int, values: Any) -> Any:
        form = entrywise(lambda u, v: u**power * v, g, inverse)
        image = form * values
        sums = [
            readout[r] * readout[r] / m * sum((values[i, r] * image[i, r] for i in range(len(x))), arb(0))
            for r in range(m)
        ]
        return max(sums, key=lambda v: v.mid()).nonnegative_part().sqrt()

    alpha, upsilon = largest(2, entrywise(lambda z: second(name, z), h)), largest(1, slopes)
    sixth = spectrum(entrywise(lambda v: v * v * v, g))[-1].sqrt()
    sigma = plain.lambda_min.sqrt()
    kappa = suprema(name)[2] / 2 * arb(float(np.abs(a).max())) * sixth / (arb(m).sqrt() * sigma)

    def along(radius: Any) -> Any | None:
        """By 256 steps: at most what any coarser row that these refine has."""
        q, count = arb(0), 256
        for k in range(1, count + 1):
            # The smaller root of (q − before)(1 − l(α + κq)) = s(υ + αq + κq²).
            far, part = radius * k / count, radius / count
            a, c = (far + part) * kappa, q * (1 - far * alpha) + part * upsilon
            b = 1 - (far + part) * alpha + far * kappa * q
            inside = b * b - 4 * a * c
            if not (b > 0 and inside > 0):
                return None
            q = (2 * c / (b + inside.sqrt())).mid()
            if not 1 - far * (alpha + kappa * q) > 0:
                return None
        return sigma * (alpha + kappa * q)

    def constants(radius: Any) -> tuple[dict[str, Any], Any]:
        return {"all": plain.bend, "local": along(radius)}, plain.bend

    known = {**plain.quantities, "path_bend": alpha, "path_slope": upsilon, "sixth_moment": sixth}
    eigenvalues = {"all": plain.lambda_min, "local": plain.lambda_min}
    return Layered(plain.outputs, eigenvalues, plain.lambda_max, constants, known)
