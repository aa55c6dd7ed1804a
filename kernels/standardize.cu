// y = (x - mean) * scale by column, a thread an element. y may be x.
#include "grid.cuh"

extern "C" __global__ void standardize(
    const REAL* x, const REAL* mean, const REAL* scale, REAL* y, long long size, long long n) {
    for (long long i = first_item(); i < size; i += items_at_once()) y[i] = (x[i] - mean[i % n]) * scale[i % n];
}
