// A warp per row, for kernels that are generated from formulas: maxima over a row.
#pragma once

#include "infinity.cuh"
#include "value.cuh"
#include "warp.cuh"

// The greater number, or NaN.
__device__ inline REAL greater(REAL a, REAL b) { return a > b || a != a ? a : b; }

__device__ inline REAL warp_max(REAL value) {
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2) value = greater(value, from_partner(value, lanes));
    return value;
}

// A number and its place in the row; no place is below 0.
struct Best {
    REAL value;
    int place;
};

__device__ inline Best none() { return {-infinity((REAL)0), -1}; }

// The greater one, NaN before all numbers; of equals the first.
__device__ inline Best better(Best a, Best b) {
    if (a.place < 0 || b.place < 0) return a.place < 0 ? b : a;
    const bool nan_a = a.value != a.value, nan_b = b.value != b.value;
    if (nan_a != nan_b) return nan_a ? a : b;
    if (nan_a || a.value == b.value) return a.place < b.place ? a : b;
    return a.value > b.value ? a : b;
}

__device__ inline Best warp_best(Best one) {
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
        one = better(one, {from_partner(one.value, lanes), from_partner(one.place, lanes)});
    }
    return one;
}
