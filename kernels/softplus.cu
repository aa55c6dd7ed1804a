// Softplus; the formulas are in softplus.py. The output may be the input.
#include "elements.cuh"

extern "C" __global__ void softplus(const REAL* x, REAL* y, long long size) {
    const auto body = [](REAL v, REAL& y) {
        y = (v < (REAL)0 ? (REAL)0 : v) + log1p(exp(v < (REAL)0 ? v : -v));
    };
    for_elements(0, size, body, reads(x), writes(y));
}

extern "C" __global__ void softplus_backward(const REAL* dy, const REAL* y, REAL* dx, long long size) {
    for_elements(0, size, [](REAL dy, REAL y, REAL& dx) { dx = -dy * expm1(-y); }, reads(dy), reads(y), writes(dx));
}
