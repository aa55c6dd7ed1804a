// Sigmoid and binary cross-entropy, a warp a row: loss, whether every output is right, and the gradient of the mean.
#include "warp.cuh"

extern "C" __global__ void binary_cross_entropy(
    const REAL* __restrict__ logits,
    const REAL* __restrict__ target,
    REAL* __restrict__ scores,
    REAL* __restrict__ dlogits,
    long long rows,
    long long n) {
    const int lane = threadIdx.x % WARP;
    const REAL zero = 0, one = 1;
    const REAL scale = one / (REAL)(rows * n);
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        REAL total = 0, wrong = 0;
        for (long long j = lane; j < n; j += WARP) {
            const long long i = row * n + j;
            const REAL z = logits[i], t = target[i];
            const REAL e = exp(z < zero ? z : -z);
            total += (z > zero ? z : zero) - z * t + log1p(e);
            dlogits[i] = ((z >= zero ? one : e) / (one + e) - t) * scale;
            if ((z > zero) != (t > (REAL)0.5)) wrong += one;
        }
        total = warp_sum(total);
        wrong = warp_sum(wrong);
        if (lane == 0) {
            scores[2 * row] = total / (REAL)n;
            scores[2 * row + 1] = wrong > zero ? zero : one;
        }
    }
}
