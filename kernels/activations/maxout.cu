// Maxout, a thread an output: the greatest of k neighbours; the formulas are in maxout.py.
#include "grid.cuh"
#include "value.cuh"

// Where the first of the greatest of k numbers stands; the first NaN is the greatest.
__device__ inline long long greatest(const VALUE* x, long long k) {
    long long best = 0;
    for (long long j = 1; j < k; ++j) {
        const REAL value = x[j], top = x[best];
        if (value > top || (value != value && top == top)) best = j;
    }
    return best;
}

extern "C" __global__ void maxout(const VALUE* x, VALUE* y, long long size, long long k) {
    for (long long i = first_item(); i < size; i += items_at_once()) y[i] = x[i * k + greatest(x + i * k, k)];
}

extern "C" __global__ void maxout_backward(const VALUE* dy, const VALUE* x, VALUE* dx, long long size, long long k) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long best = greatest(x + i * k, k);
        for (long long j = 0; j < k; ++j) dx[i * k + j] = j == best ? dy[i] : (VALUE)0;
    }
}
