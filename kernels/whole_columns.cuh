// Sums over all rows of a matrix for each of its columns: a block takes COLUMNS columns.
#pragma once

enum {
    COLUMNS = 32,  // a block's threads are LANES rows of COLUMNS: see COLUMN_BLOCK in launch.py
    LANES = 8,
};

// The sum of the lanes' values in order, for every thread.
__device__ inline double lane_sum(double value) {
    __shared__ double sums[LANES][COLUMNS];
    sums[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    double total = 0;
    for (int lane = 0; lane < LANES; ++lane) total += sums[lane][threadIdx.x];
    __syncthreads();  // the next sum writes here
    return total;
}
