// A minibatch: rows of features (DATA) and targets (TARGETS) through the order of the epoch; a line of threads a row.
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void gather_pair(
    const DATA* __restrict__ data,
    const long long* __restrict__ order,
    const long long* __restrict__ counters,
    const TARGETS* __restrict__ targets,
    VALUE* __restrict__ x,
    TARGET* __restrict__ y,
    long long rows,
    int n,
    int m) {
    const long long cursor = counters[CURSOR];
    const auto feature = [](DATA value, VALUE& out) { out = (VALUE)value; };
    const auto target = [](TARGETS value, TARGET& out) { out = (TARGET)value; };
    for (long long row = first_line(); row < rows; row += lines_at_once()) {
        const long long source = order[cursor + row];
        for_columns(n, feature, reads(data + source * n), writes(x + row * n));
        for_columns(m, target, reads(targets + source * m), writes(y + row * m));
    }
}

extern "C" __global__ void gather_standardized_pair(
    const DATA* __restrict__ data,
    const long long* __restrict__ order,
    const long long* __restrict__ counters,
    const REAL* __restrict__ mean,
    const REAL* __restrict__ scale,
    const TARGETS* __restrict__ targets,
    VALUE* __restrict__ x,
    TARGET* __restrict__ y,
    long long rows,
    int n,
    int m) {
    const long long cursor = counters[CURSOR];
    const auto feature = [](DATA value, REAL mean, REAL scale, VALUE& out) { out = ((REAL)value - mean) * scale; };
    const auto target = [](TARGETS value, TARGET& out) { out = (TARGET)value; };
    for (long long row = first_line(); row < rows; row += lines_at_once()) {
        const long long source = order[cursor + row];
        for_columns(n, feature, reads(data + source * n), reads(mean), reads(scale), writes(x + row * n));
        for_columns(m, target, reads(targets + source * m), writes(y + row * m));
    }
}
