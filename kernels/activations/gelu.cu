// GELU in its form with tanh; the formulas are in gelu.py. The output may be the input.
#include "elements.cuh"

extern "C" __global__ void gelu(const VALUE* x, VALUE* y, long long size, double slope, double cube) {
    const REAL a = slope, b = cube, one = 1;
    const auto body = [=](REAL v, VALUE& y) { y = (REAL)0.5 * v * (one + tanh(a * (v + b * v * v * v))); };
    for_elements(0, size, body, reads(x), writes(y));
}

extern "C" __global__ void gelu_backward(
    const VALUE* dy, const VALUE* x, VALUE* dx, long long size, double slope, double cube) {
    const REAL a = slope, b = cube, one = 1;
    const auto body = [=](REAL dy, REAL v, VALUE& dx) {
        const REAL u = tanh(a * (v + b * v * v * v));
        dx = dy * (REAL)0.5 * (one + u + v * (one - u * u) * a * (one + (REAL)3 * b * v * v));
    };
    for_elements(0, size, body, reads(dy), reads(x), writes(dx));
}
