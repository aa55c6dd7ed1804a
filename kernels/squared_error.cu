// Mean squared error, a warp a row: the row's loss and the gradient of the mean.
#include "warp.cuh"

extern "C" __global__ void squared_error(
    const REAL* __restrict__ prediction,
    const REAL* __restrict__ target,
    REAL* __restrict__ scores,
    REAL* __restrict__ dprediction,
    long long rows,
    long long n) {
    const int lane = threadIdx.x % WARP;
    const REAL scale = (REAL)2 / (REAL)(rows * n);
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        REAL total = 0;
        for (long long j = lane; j < n; j += WARP) {
            const long long i = row * n + j;
            const REAL difference = prediction[i] - target[i];
            total += difference * difference;
            dprediction[i] = difference * scale;
        }
        total = warp_sum(total);
        if (lane == 0) scores[row] = total / (REAL)n;
    }
}
