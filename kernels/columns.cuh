// Sums over the rows of a matrix for COLUMNS columns at a time, by LANES rows of threads: COLUMN_BLOCK in launch.py.
#pragma once

enum { COLUMNS = 32, LANES = 8 };

// The sum of the lanes' totals in order, for the threads of lane 0.
__device__ inline REAL lane_sum(REAL total) {
    __shared__ REAL sums[LANES][COLUMNS];
    sums[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0) {
        for (int lane = 1; lane < LANES; ++lane) total += sums[lane][threadIdx.x];
    }
    __syncthreads();  // the next sum writes here
    return total;
}
