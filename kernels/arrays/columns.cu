// Columns first to first + n of rows of m, a thread an element.
#include "grid.cuh"
#include "value.cuh"

extern "C" __global__ void columns(
    const VALUE* x, RESULT* y, long long size, long long m, long long n, long long first) {
    for (long long i = first_item(); i < size; i += items_at_once()) y[i] = (RESULT)x[i / n * m + first + i % n];
}
