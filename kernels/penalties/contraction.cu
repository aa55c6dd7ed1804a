// The norm of a code's derivative, a warp a row, and its gradient; the formulas are in contraction.py.
#include "activation.cuh"
#include "column_sums.cuh"
#include "value.cuh"
#include "warp.cuh"

// The square of the activation's derivative where its value is h.
__device__ inline REAL slope(REAL h, int activation) {
    const REAL d = differentiate((REAL)1, h, activation);
    return d * d;
}

// The derivative of `slope`.
__device__ inline REAL slope_change(REAL h, int activation) {
    switch (activation) {
        case TANH: return (REAL)-4 * h * ((REAL)1 - h * h);
        case SIGMOID: return (REAL)2 * h * ((REAL)1 - h) * ((REAL)1 - (REAL)2 * h);
        default: return 0;
    }
}

extern "C" __global__ void contraction(
    const VALUE* h, const REAL* c, REAL* term, long long rows, long long n, int activation) {
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        REAL total = 0;
        for (long long j = threadIdx.x % WARP; j < n; j += WARP) total += slope(h[row * n + j], activation) * c[j];
        total = warp_sum(total);
        if (threadIdx.x % WARP == 0) term[row] = total;
    }
}

extern "C" __global__ void contraction_backward(
    const REAL* dterm,
    const VALUE* h,
    const REAL* c,
    VALUE* dh,
    REAL* dc,
    long long rows,
    long long n,
    int activation) {
    for (long long tile = blockIdx.x; tile * COLUMNS < n; tile += gridDim.x) {
        const long long column = tile * COLUMNS + threadIdx.x;
        REAL total = 0;
        for (long long row = threadIdx.y; row < rows && column < n; row += LANES) {
            const REAL d = dterm[row], value = h[row * n + column];
            total += d * slope(value, activation);
            dh[row * n + column] = d * c[column] * slope_change(value, activation);
        }
        total = lane_sum(total);
        if (threadIdx.y == 0 && column < n) dc[column] = total;
    }
}
