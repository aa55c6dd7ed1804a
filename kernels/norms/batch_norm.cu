// Batch normalisation of columns; the formulas are in batch_norm.py.
#include "counters.cuh"
#include "grid.cuh"
#include "value.cuh"
#include "whole_columns.cuh"

extern "C" __global__ void batch_norm(
    const VALUE* x,
    const REAL* weight,
    const REAL* bias,
    VALUE* y,
    double* mean,
    double* variance,
    double* inverse,
    long long rows,
    long long n,
    double eps) {
    for (long long tile = blockIdx.x; tile * COLUMNS < n; tile += gridDim.x) {
        const long long column = tile * COLUMNS + threadIdx.x;
        const long long first = column < n ? threadIdx.y : rows;  // threads beyond the last column only sum
        double total = 0;
        for (long long row = first; row < rows; row += LANES) total += x[row * n + column];
        const double center = lane_sum(total) / rows;
        total = 0;
        for (long long row = first; row < rows; row += LANES) {
            const double d = x[row * n + column] - center;
            total += d * d;
        }
        const double spread = lane_sum(total) / rows, factor = 1 / sqrt(spread + eps);
        if (column >= n) continue;
        if (threadIdx.y == 0) mean[column] = center, variance[column] = spread, inverse[column] = factor;
        for (long long row = first; row < rows; row += LANES)
            y[row * n + column] = (x[row * n + column] - center) * factor * weight[column] + bias[column];
    }
}

extern "C" __global__ void batch_norm_fixed(
    const VALUE* x,
    const REAL* weight,
    const REAL* bias,
    const REAL* mean,
    const REAL* variance,
    VALUE* y,
    double* inverse,
    long long rows,
    long long n,
    double eps) {
    for (long long column = (long long)blockIdx.x * COLUMNS + threadIdx.x; column < n;
         column += (long long)gridDim.x * COLUMNS) {
        const double factor = 1 / sqrt(variance[column] + eps);
        if (threadIdx.y == 0) inverse[column] = factor;
        const REAL center = mean[column], slope = (REAL)factor * weight[column];
        for (long long row = threadIdx.y; row < rows; row += LANES)
            y[row * n + column] = (x[row * n + column] - center) * slope + bias[column];
    }
}

extern "C" __global__ void running_statistics(
    const double* mean,
    const double* variance,
    REAL* running_mean,
    REAL* running_var,
    const long long* counters,
    long long rows,
    long long n,
    double momentum) {
    if (counters[FAILED] >= 0) return;
    const double kept = 1 - momentum;
    for (long long j = first_item(); j < n; j += items_at_once()) {
        running_mean[j] = kept * running_mean[j] + momentum * mean[j];
        if (rows > 1) running_var[j] = kept * running_var[j] + (momentum * rows / (rows - 1)) * variance[j];
    }
}
