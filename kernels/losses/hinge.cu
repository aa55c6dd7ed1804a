// The binary hinge loss, a warp a row; the formulas are in hinge.py.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void hinge(
    const VALUE* __restrict__ outputs,
    const REAL* __restrict__ target,
    REAL* __restrict__ scores,
    GRADIENT* __restrict__ doutputs,
    long long rows,
    long long n) {
    const int lane = threadIdx.x % WARP;
    const REAL zero = 0, one = 1, scale = one / (REAL)(rows * n);
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        REAL total = 0, right = 0;
        for (long long j = lane; j < n; j += WARP) {
            const long long i = row * n + j;
            const REAL z = outputs[i], sign = target[i] > zero ? one : -one;
            const REAL margin = one - sign * z;
            total += margin <= zero ? zero : margin;
            right += (z > zero) == (sign > zero) ? one : zero;
            doutputs[i] = margin <= zero ? zero : -sign * scale;
        }
        total = warp_sum(total);
        right = warp_sum(right);
        if (lane == 0) {
            scores[2 * row] = total / (REAL)n;
            scores[2 * row + 1] = right / (REAL)n;
        }
    }
}
