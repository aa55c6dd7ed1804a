// Softmax and cross-entropy, a warp a row: loss, whether the guess is right, and the gradient of the mean.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void softmax_cross_entropy(
    const VALUE* __restrict__ logits,
    const LABEL* __restrict__ labels,
    REAL* __restrict__ scores,
    GRADIENT* __restrict__ dlogits,
    long long rows,
    int n) {
    const int lane = threadIdx.x % WARP;
    const REAL scale = (REAL)1 / (REAL)rows;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const VALUE* z = logits + row * n;
        GRADIENT* d = dlogits + row * n;

        // the largest logit and the first place where it stands
        REAL top = z[0];
        int best = 0;
        for (int j = lane; j < n; j += WARP) {
            const REAL value = z[j];
            if (value > top) {
                top = value;
                best = j;
            }
        }
        for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
            const REAL other = from_partner(top, lanes);
            const int place = from_partner(best, lanes);
            if (other > top || (other == top && place < best)) {
                top = other;
                best = place;
            }
        }

        REAL total = 0;
        for (int j = lane; j < n; j += WARP) total += exp(z[j] - top);
        total = warp_sum(total);

        // exp once more: cheaper than writing and reading what it gave
        const LABEL label = labels[row];
        const REAL factor = scale / total;
        for (int j = lane; j < n; j += WARP) d[j] = exp(z[j] - top) * factor - (j == label ? scale : (REAL)0);
        if (lane == 0) {
            const bool known = (long long)label >= 0 && label < n;
            const REAL own = known ? (REAL)z[label] : (REAL)nan("");  // a label that is no class ends a training
            scores[2 * row] = log(total) - (own - top);
            scores[2 * row + 1] = best == label ? (REAL)1 : (REAL)0;
        }
    }
}
