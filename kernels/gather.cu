// A minibatch: rows of the data set (DATA) through the order of the epoch, as BATCH; a thread an element.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void gather(
    const DATA* __restrict__ data,
    const long long* __restrict__ order,
    const long long* __restrict__ counters,
    BATCH* __restrict__ batch,
    long long size,
    long long n) {
    const long long cursor = counters[CURSOR];
    for (long long i = first_item(); i < size; i += items_at_once()) {
        batch[i] = (BATCH)data[order[cursor + i / n] * n + i % n];
    }
}
