// GELU in its form with tanh, a thread an element; the formulas are in gelu.py. The output may be the input.
#include "grid.cuh"

extern "C" __global__ void gelu(const REAL* x, REAL* y, long long size, double slope, double cube) {
    const REAL a = slope, b = cube, one = 1;
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const REAL v = x[i];
        y[i] = (REAL)0.5 * v * (one + tanh(a * (v + b * v * v * v)));
    }
}

extern "C" __global__ void gelu_backward(
    const REAL* dy, const REAL* x, REAL* dx, long long size, double slope, double cube) {
    const REAL a = slope, b = cube, one = 1;
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const REAL v = x[i], u = tanh(a * (v + b * v * v * v));
        dx[i] = dy[i] * (REAL)0.5 * (one + u + v * (one - u * u) * a * (one + (REAL)3 * b * v * v));
    }
}
