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
    int n) {
    const int lane = threadIdx.x % WARP;
    const REAL zero = 0, one = 1, scale = one / (REAL)rows;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const VALUE* z = outputs + row * n;
        GRADIENT* d = doutputs + row * n;
        const LABEL given = labels[row];
        const int label = (long long)given >= 0 && given < n ? (int)given : -1;  // -1: no class, which gives NaN
        int other = -1;  // the best class beside the label
        for (int j = lane; j < n; j += WARP) {
            if (j != label) other = better(z, other, j);
        }
        for (int lanes = WARP / 2; lanes > 0; lanes /= 2) other = better(z, other, from_partner(other, lanes));

        REAL margin = label < 0 ? (REAL)nan("") : zero;
        if (label >= 0 && other >= 0) margin = one - (z[label] - z[other]);
        const REAL change = margin <= zero ? zero : scale;
        for (int j = lane; j < n; j += WARP) d[j] = j == label ? -change : j == other ? change : zero;
        if (lane == 0) {
            scores[2 * row] = margin <= zero ? zero : margin;
            scores[2 * row + 1] = label >= 0 && better(z, other, label) == label ? one : zero;
        }
    }
}
