// Work that a block of BLOCK threads in a row shares.
#pragma once

enum { BLOCK = 256 };  // the same as launch.py

// The sum over the block in a tree of fixed order, for every thread.
__device__ inline double block_sum(double value) {
    __shared__ double sums[BLOCK];
    sums[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    const double total = sums[0];
    __syncthreads();  // the next sum writes here
    return total;
}
