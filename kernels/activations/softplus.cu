// Softplus; the formulas are in softplus.py. The output may be the input.
#include "elements.cuh"

extern "C" __global__ void softplus(const VALUE* x, VALUE* y, long long size) {
    const auto body = [](REAL v, VALUE& y) {
        y = (v < (REAL)0 ? (REAL)0 : v) + log1p(exp(v < (REAL)0 ? v : -v));
    };
    for_elements(0, size, body, reads(x), writes(y));
}

extern "C" __global__ void softplus_backward(const VALUE* dy, const VALUE* y, VALUE* dx, long long size) {
    for_elements(0, size, [](REAL dy, REAL y, VALUE& dx) { dx = -dy * expm1(-y); }, reads(dy), reads(y), writes(dx));
}
