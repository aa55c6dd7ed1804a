// A minibatch, standardised: rows of the data set (DATA) through the order of the epoch; a thread an element.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void gather_standardized(
    const DATA* __restrict__ data,
    const long long* __restrict__ order,
    const long long* __restrict__ counters,
    const REAL* __restrict__ mean,
    const REAL* __restrict__ scale,
    REAL* __restrict__ batch,
    long long size,
    long long n) {
    const long long cursor = counters[CURSOR];
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long j = i % n;
        batch[i] = ((REAL)data[order[cursor + i / n] * n + j] - mean[j]) * scale[j];
    }
}
