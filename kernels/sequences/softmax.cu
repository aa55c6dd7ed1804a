// The softmax of the rows of matrices with n columns, causal (if square) or not, and its backward, a warp a row. p may be s, ds may be dp.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void softmax(const VALUE* s, VALUE* p, long long rows, int n, double scale, int causal) {
    const int lane = threadIdx.x % WARP;
    const REAL factor = scale;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const VALUE* from = s + row * n;
        VALUE* to = p + row * n;
        const int last = causal ? (int)(row % n) + 1 : n;
        REAL top = from[0];
        for (int j = lane; j < last; j += WARP) {
            const REAL value = from[j];
            top = value > top ? value : top;
        }
        for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
            const REAL other = from_partner(top, lanes);
            top = other > top ? other : top;
        }
        REAL total = 0;
        for (int j = lane; j < last; j += WARP) total += exp((from[j] - top) * factor);
        const REAL share = (REAL)1 / warp_sum(total);
        // exp once more: cheaper than writing and reading what it gave
        for (int j = lane; j < n; j += WARP) to[j] = j < last ? exp((from[j] - top) * factor) * share : (REAL)0;
    }
}

extern "C" __global__ void softmax_backward(
    const VALUE* dp, const VALUE* p, VALUE* ds, long long rows, int n, double scale) {
    const int lane = threadIdx.x % WARP;
    const REAL factor = scale;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const long long first = row * n;
        REAL total = 0;
        for (int j = lane; j < n; j += WARP) total += p[first + j] * dp[first + j];
        total = warp_sum(total);
        for (int j = lane; j < n; j += WARP) ds[first + j] = factor * p[first + j] * (dp[first + j] - total);
    }
}
