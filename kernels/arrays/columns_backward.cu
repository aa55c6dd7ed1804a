// The gradient of a choice of columns, first to first + n of m: 0 elsewhere, a thread an element.
#include "grid.cuh"
#include "value.cuh"

extern "C" __global__ void columns_backward(
    const VALUE* dy, VALUE* dx, long long size, long long m, long long n, long long first) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long j = i % m - first;
        dx[i] = j >= 0 && j < n ? dy[i / m * n + j] : (VALUE)0;
    }
}
