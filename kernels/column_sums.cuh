// Sums over the rows of a matrix for each of its columns, in an order that does not depend on the grid.
//
// A block takes COLUMNS columns of one of gridDim.y parts of the rows, and leaves its sums in `partial`. The block
// that arrives last at some columns, whichever it is, adds all parts in order.
#pragma once

enum {
    COLUMNS = 32,  // a block's threads are LANES rows of COLUMNS: see COLUMN_BLOCK in launch.py
    LANES = 8,
};

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

// Leaves the sum of a part of a column's rows: in `sums` where there is no other part.
__device__ inline void leave_part(REAL total, long long column, long long n, REAL* sums, REAL* partial) {
    total = lane_sum(total);
    if (threadIdx.y == 0 && column < n) (gridDim.y == 1 ? sums : partial + blockIdx.y * n)[column] = total;
}

// Whether all other parts of a tile of columns have been left too, and are to be added.
__device__ inline bool arrives_last(unsigned int* arrived, long long tile) {
    __shared__ bool last;
    if (gridDim.y == 1) return false;
    __threadfence();  // the sums are seen by others before the arrival is
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) last = atomicInc(&arrived[tile], gridDim.y - 1) == gridDim.y - 1;
    __syncthreads();
    __threadfence();
    return last;
}

// The sums of all parts of a column, by the block that arrived last.
__device__ inline void add_parts(long long column, long long n, REAL* sums, const REAL* partial) {
    const volatile REAL* parts = partial;  // not from this processor's own cache
    REAL total = 0;
    for (unsigned int k = threadIdx.y; k < gridDim.y && column < n; k += LANES) total += parts[k * n + column];
    total = lane_sum(total);
    if (threadIdx.y == 0 && column < n) sums[column] = total;
}
