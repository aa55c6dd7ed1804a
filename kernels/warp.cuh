// Work that a warp shares: 32 threads of one block, a row for each warp.
#pragma once

#include "grid.cuh"

enum { WARP = 32 };

__device__ inline long long first_row() { return first_item() / WARP; }

__device__ inline long long rows_at_once() { return items_at_once() / WARP; }

// The value of the lane whose number differs in the bit `lanes`.
template <class T>
__device__ inline T from_partner(T value, int lanes) {
    return __shfl_xor_sync(0xffffffffu, value, lanes);
}

// The sum over the warp, the same bits in every lane: partners add the same two numbers.
template <class T>
__device__ inline T warp_sum(T value) {
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2) value += from_partner(value, lanes);
    return value;
}
