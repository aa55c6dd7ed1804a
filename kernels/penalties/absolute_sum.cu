// The sum of a row's absolute values and its gradient; the formulas are in absolute_sum.py.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void absolute_sum(const VALUE* x, REAL* term, long long rows, long long n) {
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        REAL total = 0;
        for (long long j = threadIdx.x % WARP; j < n; j += WARP) total += fabs((REAL)x[row * n + j]);
        total = warp_sum(total);
        if (threadIdx.x % WARP == 0) term[row] = total;
    }
}

extern "C" __global__ void absolute_sum_backward(
    const REAL* dterm, const VALUE* x, VALUE* dx, long long size, long long n) {
    const REAL zero = 0;
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const REAL d = dterm[i / n], value = x[i];
        dx[i] = value > zero ? d : value < zero ? -d : d * value;
    }
}
