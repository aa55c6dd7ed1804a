// Means of columns or of their squares, a block for COLUMNS of them, and the gradient; as column_moment.py.
#include "column_sums.cuh"
#include "grid.cuh"
#include "value.cuh"

extern "C" __global__ void column_moment(const VALUE* x, REAL* moment, long long rows, long long n, long long power) {
    for (long long tile = blockIdx.x; tile * COLUMNS < n; tile += gridDim.x) {
        const long long column = tile * COLUMNS + threadIdx.x;
        REAL total = 0;
        for (long long row = threadIdx.y; row < rows && column < n; row += LANES) {
            const REAL value = x[row * n + column];
            total += power == 2 ? value * value : value;
        }
        total = lane_sum(total);
        if (threadIdx.y == 0 && column < n) moment[column] = total / (REAL)rows;
    }
}

extern "C" __global__ void column_moment_backward(
    const REAL* dmoment, const VALUE* x, GRADIENT* dx, long long size, long long n, long long power, double share) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const REAL d = dmoment[i % n] * (REAL)share;
        dx[i] = power == 2 ? d * (REAL)x[i] : d;
    }
}
