// Softmax and cross-entropy with a distribution as target, a warp a row; the formulas are in soft_cross_entropy.py.
#include "better.cuh"
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void soft_cross_entropy(
    const VALUE* __restrict__ logits,
    const REAL* __restrict__ target,
    REAL* __restrict__ scores,
    GRADIENT* __restrict__ dlogits,
    long long rows,
    long long n) {
    const int lane = threadIdx.x % WARP;
    const REAL scale = (REAL)1 / (REAL)rows;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const VALUE* z = logits + row * n;
        const REAL* q = target + row * n;
        GRADIENT* d = dlogits + row * n;
        long long best = -1, likely = -1;
        for (long long j = lane; j < n; j += WARP) {
            best = better(z, best, j);
            likely = better(q, likely, j);
        }
        for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
            best = better(z, best, from_partner(best, lanes));
            likely = better(q, likely, from_partner(likely, lanes));
        }
        const REAL top = z[best];
        REAL total = 0, whole = 0, loss = 0;
        for (long long j = lane; j < n; j += WARP) {
            total += exp(z[j] - top);
            whole += q[j];
        }
        total = warp_sum(total);
        whole = warp_sum(whole);
        const REAL log_total = log(total), factor = whole / total;
        for (long long j = lane; j < n; j += WARP) {
            loss += q[j] * (log_total - (z[j] - top));
            d[j] = (exp(z[j] - top) * factor - q[j]) * scale;  // exp once more: see softmax_cross_entropy.cu
        }
        loss = warp_sum(loss);
        if (lane == 0) {
            scores[2 * row] = loss;
            scores[2 * row + 1] = best == likely ? (REAL)1 : (REAL)0;
        }
    }
}
