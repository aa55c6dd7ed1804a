// Binary cross-entropy from logits, a warp a row; the formulas are in binary_cross_entropy.py.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void binary_cross_entropy(
    const VALUE* __restrict__ logits,
    const REAL* __restrict__ target,
    REAL* __restrict__ scores,
    GRADIENT* __restrict__ dlogits,
    long long rows,
    long long n) {
    const int lane = threadIdx.x % WARP;
    const REAL zero = 0, one = 1, scale = one / (REAL)(rows * n);
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        REAL total = 0, right = 0;
        for (long long j = lane; j < n; j += WARP) {
            const long long i = row * n + j;
            const REAL z = logits[i], t = target[i];
            const REAL e = exp(z < zero ? z : -z);
            total += (z < zero ? zero : z) - z * t + log1p(e);
            right += (z > zero) == (t > (REAL)0.5) ? one : zero;
            dlogits[i] = ((z < zero ? e : one) / (one + e) - t) * scale;
        }
        total = warp_sum(total);
        right = warp_sum(right);
        if (lane == 0) {
            scores[2 * row] = total / (REAL)n;
            scores[2 * row + 1] = right / (REAL)n;
        }
    }
}
