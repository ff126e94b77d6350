"""Logistic regression with a Gaussian prior: the one fit behind reward heads and P(label wrong). PURE.

It minimises  sum_i w_i * BCE(t_i, sigmoid(x_i . b)) + 1/2 * sum_j precision_j * (b_j - mean_j)^2  by Newton steps with
backtracking. The backtracking is not a refinement: without it near-separable labels send the coefficients to infinity.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

Array = np.ndarray

_HESSIAN_ROWS = 20_000
_MAX_STEPS = 50
_SMALLEST_STEP = 1e-4


def fit(x: Array, target: Array, weight: Array, mean: Array, precision: Array, start: Array | None = None) -> Array:
    """The most probable coefficients, float64 [columns].

    x [rows, columns]; target [rows], P(1) in [0, 1], soft values allowed; weight [rows], 0 or more; mean and precision
    (1 / variance, above 0) [columns]. `start` only saves steps. Without rows the answer is the prior mean.
    """
    coefficients = np.array(mean if start is None else start, dtype=np.float64)
    if not len(x):
        return np.array(mean, dtype=np.float64)
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)
    # The gradient is exact; above so many rows a stride of them gives a curvature that is good enough.
    stride = -(-len(x) // _HESSIAN_ROWS)
    z = _dot(x, coefficients)
    loss = _loss(z, target, weight, coefficients, mean, precision)
    for _ in range(_MAX_STEPS):
        p = expit(z)
        gradient = _dot(x.T, weight * (p - target)) + precision * (coefficients - mean)
        step = _newton_step(x[::stride], (weight * p * (1 - p))[::stride] * stride, precision, gradient)
        slope = float(gradient @ step)
        z_step = _dot(x, step)
        length = 1.0
        while length > _SMALLEST_STEP:
            tried = coefficients - length * step
            new_loss = _loss(z - length * z_step, target, weight, tried, mean, precision)
            if new_loss <= loss - 1e-4 * length * slope:
                break
            length /= 2
        else:
            break
        coefficients, z, gain, loss = tried, z - length * z_step, loss - new_loss, new_loss
        if gain < 1e-7 * (abs(loss) + 1):
            break
    return coefficients


def _dot(x: Array, vector: Array) -> Array:
    return (x @ vector.astype(x.dtype, copy=False)).astype(np.float64, copy=False)


def _loss(z: Array, target: Array, weight: Array, coefficients: Array, mean: Array, precision: Array) -> float:
    fit_loss = weight @ (np.logaddexp(0, z) - target * z)
    return float(fit_loss + 0.5 * (precision @ (coefficients - mean) ** 2))


def _newton_step(x: Array, curvature: Array, precision: Array, gradient: Array) -> Array:
    """Solves (X' diag(curvature) X + diag(precision)) step = gradient, on the smaller of the two sides."""
    rows, columns = x.shape
    if rows < columns:
        # Woodbury: a few labels and hundreds of features cost a system of the size of the labels.
        root = np.sqrt(curvature)
        scaled = x.astype(np.float64) * root[:, None]
        inner = (scaled / precision) @ scaled.T
        inner[np.diag_indices(rows)] += 1
        g = gradient / precision
        return g - (scaled.T @ cho_solve(cho_factor(inner), scaled @ g)) / precision
    hessian = ((x * curvature[:, None].astype(x.dtype)).T @ x).astype(np.float64)
    hessian[np.diag_indices(columns)] += precision
    return cho_solve(cho_factor(hessian), gradient)
