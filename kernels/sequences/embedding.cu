// Rows of a table chosen by tokens' numbers, and the sums of their gradients in the order of the tokens.
#include "elements.cuh"
#include "warp.cuh"

extern "C" __global__ void embedding(
    const REAL* __restrict__ ids,
    const VALUE* __restrict__ table,
    VALUE* __restrict__ y,
    long long tokens,
    int n,
    long long count) {
    for (long long token = first_line(); token < tokens; token += lines_at_once()) {
        const REAL id = ids[token];
        if (id >= (REAL)0 && id < (REAL)count) {
            const auto copy = [](VALUE value, VALUE& out) { out = value; };
            for_columns(n, copy, reads(table + (long long)id * n), writes(y + token * n));
        } else {
            for_columns(n, [](VALUE& out) { out = (REAL)nan(""); }, writes(y + token * n));
        }
    }
}

// A warp for 32 columns of a row of the table. It looks at every token, in order, and adds those that are the row's.
extern "C" __global__ void embedding_backward(
    const VALUE* __restrict__ dy,
    const REAL* __restrict__ ids,
    REAL* __restrict__ dtable,
    long long tokens,
    long long n,
    long long count) {
    const long long tiles = (n + WARP - 1) / WARP;
    for (long long item = first_row(); item < count * tiles; item += rows_at_once()) {
        const long long place = item / tiles, column = item % tiles * WARP + threadIdx.x % WARP;
        if (column >= n) continue;
        REAL sum = 0;
        for (long long token = 0; token < tokens; ++token) {
            if (ids[token] == (REAL)place) sum += dy[token * n + column];
        }
        dtable[place * n + column] = sum;
    }
}
