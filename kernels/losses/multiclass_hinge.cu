// The multi-class hinge loss, a warp a row; the formulas are in multiclass_hinge.py.
#include "better.cuh"
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void multiclass_hinge(
    const VALUE* __restrict__ outputs,
    const LABEL* __restrict__ labels,
    REAL* __restrict__ scores,
    GRADIENT* __restrict__ doutputs,
    long long rows,
    long long n) {
    const int lane = threadIdx.x % WARP;
    const REAL zero = 0, one = 1, scale = one / (REAL)rows;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const VALUE* z = outputs + row * n;
        GRADIENT* d = doutputs + row * n;
        const long long label = labels[row];
        const bool known = label >= 0 && label < n;  // another label gives NaN, which ends a training
        const long long place = known ? label : 0;
        long long rival = -1;
        for (long long j = lane; j < n; j += WARP) {
            if (j != label) rival = better(z, rival, j);
        }
        for (int lanes = WARP / 2; lanes > 0; lanes /= 2) rival = better(z, rival, from_partner(rival, lanes));
        const REAL margin = rival < 0 ? zero : one - (z[place] - z[rival]);
        const REAL change = margin <= zero ? zero : scale;
        for (long long j = lane; j < n; j += WARP) d[j] = j == label ? -change : j == rival ? change : zero;
        if (lane == 0) {
            scores[2 * row] = !known ? (REAL)nan("") : margin <= zero ? zero : margin;
            scores[2 * row + 1] = better(z, rival, place) == label ? one : zero;
        }
    }
}
