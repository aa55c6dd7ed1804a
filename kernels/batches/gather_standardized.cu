// A minibatch, standardised: rows of the data set (DATA) through the order of the epoch; a line of threads a row.
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void gather_standardized(
    const DATA* __restrict__ data,
    const long long* __restrict__ order,
    const long long* __restrict__ counters,
    const REAL* __restrict__ mean,
    const REAL* __restrict__ scale,
    VALUE* __restrict__ batch,
    long long rows,
    int n) {
    const long long cursor = counters[CURSOR];
    const auto body = [](DATA value, REAL mean, REAL scale, VALUE& out) { out = ((REAL)value - mean) * scale; };
    for (long long row = first_line(); row < rows; row += lines_at_once()) {
        const DATA* source = data + order[cursor + row] * n;
        for_columns(n, body, reads(source), reads(mean), reads(scale), writes(batch + row * n));
    }
}
