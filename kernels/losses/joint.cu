// Adds one part of a weighted sum of losses to the earlier parts, one warp per row; the formulas are in joint.py.
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void joint(
    const REAL* before, const REAL* scores, const GRADIENT* gradient, REAL* joint, GRADIENT* scaled,
    long long rows, long long k, long long m, long long n, double weight) {
    const int lane = threadIdx.x % WARP;
    const REAL factor = weight;
    const long long first = k > 0 ? k : 1, width = first + m;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        for (long long j = lane; j < width; j += WARP) {
            REAL value = j >= first ? scores[row * m + j - first] : (REAL)0;
            if (j == 0) value = (k > 0 ? before[row * k] : (REAL)0) + factor * scores[row * m];
            else if (j < first) value = before[row * k + j];
            joint[row * width + j] = value;
        }
        for (long long j = lane; j < n; j += WARP) scaled[row * n + j] = factor * gradient[row * n + j];
    }
}
