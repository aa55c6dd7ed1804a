// Mean squared error, a warp a row: the row's loss and the gradient of the mean.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void squared_error(
    const VALUE* __restrict__ prediction,
    const REAL* __restrict__ target,
    REAL* __restrict__ scores,
    GRADIENT* __restrict__ dprediction,
    long long rows,
    int n) {
    const int lane = threadIdx.x % WARP;
    const REAL scale = (REAL)2 / (REAL)(rows * n);
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const VALUE* p = prediction + row * n;
        const REAL* t = target + row * n;
        GRADIENT* d = dprediction + row * n;
        REAL total = 0;
        for (int j = lane; j < n; j += WARP) {
            const REAL difference = p[j] - t[j];
            total += difference * difference;
            d[j] = difference * scale;
        }
        total = warp_sum(total);
        if (lane == 0) scores[row] = total / (REAL)n;
    }
}
