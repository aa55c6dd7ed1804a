// The softmax of the rows of matrices with n columns over the columns whose tokens count, a warp a row; p may be s. `block` is
// the number of rows that share a row of the mask: those of a sequence's heads.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void masked_softmax(const VALUE* s, const REAL* mask, VALUE* p, long long rows, int n,
                                          long long block, double scale, int causal) {
    const int lane = threadIdx.x % WARP;
    const REAL factor = scale;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const VALUE* from = s + row * n;
        const REAL* counts = mask + row / block * n;
        VALUE* to = p + row * n;
        const int last = causal ? (int)(row % n) + 1 : n;
        REAL top = log((REAL)0);  // -inf, for which NVRTC has no name
        for (int j = lane; j < last; j += WARP) {
            const REAL value = from[j];
            if (counts[j] > 0 && value > top) top = value;
        }
        for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
            const REAL other = from_partner(top, lanes);
            top = other > top ? other : top;
        }
        REAL total = 0;
        for (int j = lane; j < last; j += WARP)
            if (counts[j] > 0) total += exp((from[j] - top) * factor);
        total = warp_sum(total);
        const REAL share = total > 0 ? (REAL)1 / total : (REAL)0;
        for (int j = lane; j < n; j += WARP)
            to[j] = j < last && counts[j] > 0 ? exp((from[j] - top) * factor) * share : (REAL)0;
    }
}
