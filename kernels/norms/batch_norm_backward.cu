// Backward of batch normalisation; the formulas are in batch_norm.py.
#include "value.cuh"
#include "whole_columns.cuh"

extern "C" __global__ void batch_norm_backward(
    const VALUE* dy,
    const VALUE* x,
    const REAL* weight,
    const MEAN* mean,
    const double* inverse,
    VALUE* dx,
    REAL* dweight,
    REAL* dbias,
    double* sums,
    long long rows,
    long long n,
    int moving) {
    const double share = rows ? (double)moving / rows : 0;
    for (long long tile = blockIdx.x; tile * COLUMNS < n; tile += gridDim.x) {
        const long long column = tile * COLUMNS + threadIdx.x;
        const long long first = column < n ? threadIdx.y : rows;  // threads beyond the last column only sum
        const double center = column < n ? mean[column] : 0, factor = column < n ? inverse[column] : 0;
        double total = 0, products = 0;
        for (long long row = first; row < rows; row += LANES) {
            const double d = dy[row * n + column];
            total += d;
            products += d * ((x[row * n + column] - center) * factor);
        }
        const double plain = lane_sum(total), crossed = lane_sum(products);
        if (column >= n) continue;
        if (threadIdx.y == 0) {
            dbias[column] = sums[column] = plain;
            dweight[column] = sums[n + column] = crossed;
        }
        const double slope = factor * weight[column];
        for (long long row = first; row < rows; row += LANES) {
            const double normal = (x[row * n + column] - center) * factor;
            dx[row * n + column] = (dy[row * n + column] - (plain + normal * crossed) * share) * slope;
        }
    }
}
