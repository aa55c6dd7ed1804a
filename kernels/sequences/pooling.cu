// One row of each sequence, a thread a feature of it; the formulas are in pooling.py.
#include "grid.cuh"
#include "value.cuh"

// How many tokens of a sequence count.
__device__ inline REAL counted(const REAL* mask, int length) {
    REAL count = 0;
    for (int t = 0; t < length; ++t) count += mask[t];
    return count;
}

// Where the first of the greatest of a feature stands, n apart; the first NaN is the greatest; -1 if none counts.
__device__ inline int greatest(const VALUE* x, const REAL* mask, long long n, int length) {
    int best = -1;
    for (int t = 0; t < length; ++t) {
        if (!(mask[t] > 0)) continue;
        const REAL v = x[t * n];
        const REAL top = best < 0 ? v : (REAL)x[best * n];
        if (best < 0 || v > top || (v != v && top == top)) best = t;
    }
    return best;
}

extern "C" __global__ void mean_pooling(
    const VALUE* x, const REAL* mask, VALUE* y, long long size, long long n, int length) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long sequence = i / n;
        const VALUE* from = x + sequence * length * n + i % n;
        const REAL* counts = mask + sequence * length;
        REAL sum = 0;
        for (int t = 0; t < length; ++t)
            if (counts[t] > 0) sum += (REAL)from[t * n];
        const REAL count = counted(counts, length);
        y[i] = count > 0 ? sum / count : (REAL)0;
    }
}

extern "C" __global__ void mean_pooling_backward(
    const VALUE* dy, const REAL* mask, VALUE* dx, long long size, long long n, int length) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long sequence = i / n;
        VALUE* to = dx + sequence * length * n + i % n;
        const REAL* counts = mask + sequence * length;
        const REAL count = counted(counts, length);
        const REAL share = count > 0 ? (REAL)dy[i] / count : (REAL)0;
        for (int t = 0; t < length; ++t) to[t * n] = share * counts[t];
    }
}

extern "C" __global__ void max_pooling(
    const VALUE* x, const REAL* mask, VALUE* y, long long size, long long n, int length) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long sequence = i / n;
        const VALUE* from = x + sequence * length * n + i % n;
        const int best = greatest(from, mask + sequence * length, n, length);
        y[i] = best < 0 ? (REAL)0 : (REAL)from[best * n];
    }
}

extern "C" __global__ void max_pooling_backward(
    const VALUE* dy, const VALUE* x, const REAL* mask, VALUE* dx, long long size, long long n, int length) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const long long sequence = i / n, first = sequence * length * n + i % n;
        const int best = greatest(x + first, mask + sequence * length, n, length);
        for (int t = 0; t < length; ++t) dx[first + t * n] = t == best ? (REAL)dy[i] : (REAL)0;
    }
}
