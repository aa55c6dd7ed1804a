// Sum of two arrays of one shape, a thread an element. The output may be an input.
#include "grid.cuh"

extern "C" __global__ void add(const REAL* a, const REAL* b, REAL* out, long long size) {
    for (long long i = first_item(); i < size; i += items_at_once()) out[i] = a[i] + b[i];
}
