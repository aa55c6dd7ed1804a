// Softplus, a thread an element; the formulas are in softplus.py. The output may be the input.
#include "grid.cuh"

extern "C" __global__ void softplus(const REAL* x, REAL* y, long long size) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const REAL v = x[i];
        y[i] = (v < (REAL)0 ? (REAL)0 : v) + log1p(exp(v < (REAL)0 ? v : -v));
    }
}

extern "C" __global__ void softplus_backward(const REAL* dy, const REAL* y, REAL* dx, long long size) {
    for (long long i = first_item(); i < size; i += items_at_once()) dx[i] = -dy[i] * expm1(-y[i]);
}
