// A weight for each row, a warp a row: its loss, the first score, and its gradient are multiplied with it.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void apply_sample_weights(
    const REAL* weight, const REAL* scores, const GRADIENT* gradient, REAL* wscores, GRADIENT* wgradient,
    long long rows, long long m, long long n) {
    const int lane = threadIdx.x % WARP;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const REAL w = weight[row];
        for (long long j = lane; j < m; j += WARP)
            wscores[row * m + j] = j == 0 ? w * scores[row * m] : scores[row * m + j];
        for (long long j = lane; j < n; j += WARP) wgradient[row * n + j] = w * gradient[row * n + j];
    }
}
