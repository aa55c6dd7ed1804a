// The divergence from the standard normal distribution, a warp a row, and its gradient; as kl_normal.py.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void kl_normal(
    const VALUE* mean, const VALUE* log_variance, REAL* term, long long rows, long long n) {
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        REAL total = 0;
        for (long long j = threadIdx.x % WARP; j < n; j += WARP) {
            const REAL m = mean[row * n + j], v = log_variance[row * n + j];
            total += m * m + (expm1(v) - v);
        }
        total = warp_sum(total);
        if (threadIdx.x % WARP == 0) term[row] = (REAL)0.5 * total;
    }
}

extern "C" __global__ void kl_normal_backward(
    const REAL* dterm,
    const VALUE* mean,
    const VALUE* log_variance,
    VALUE* dmean,
    VALUE* dlog_variance,
    long long size,
    long long n) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const REAL d = dterm[i / n];
        dmean[i] = d * (REAL)mean[i];
        dlog_variance[i] = d * ((REAL)0.5 * expm1((REAL)log_variance[i]));
    }
}
