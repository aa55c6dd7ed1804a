// Two arrays side by side, and the way back, a thread an element.
#include "grid.cuh"
#include "value.cuh"

extern "C" __global__ void concatenate(
    const VALUE* a, const VALUE* b, VALUE* y, long long size, long long m, long long n) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long row = i / (m + n), j = i % (m + n);
        y[i] = j < m ? a[row * m + j] : b[row * n + j - m];
    }
}

extern "C" __global__ void split(const VALUE* y, VALUE* a, VALUE* b, long long size, long long m, long long n) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long row = i / (m + n), j = i % (m + n);
        if (j < m) {
            a[row * m + j] = y[i];
        } else {
            b[row * n + j - m] = y[i];
        }
    }
}
