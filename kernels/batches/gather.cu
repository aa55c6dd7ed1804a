// A minibatch: rows of the data set (DATA) through the order of the epoch, as BATCH; a line of threads a row.
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void gather(
    const DATA* __restrict__ data,
    const long long* __restrict__ order,
    const long long* __restrict__ counters,
    BATCH* __restrict__ batch,
    long long rows,
    int n) {
    const long long cursor = counters[CURSOR];
    const auto body = [](DATA value, BATCH& out) { out = (BATCH)value; };
    for (long long row = first_line(); row < rows; row += lines_at_once()) {
        for_columns(n, body, reads(data + order[cursor + row] * n), writes(batch + row * n));
    }
}
