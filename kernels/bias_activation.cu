// Bias and activation, and their backward with the bias gradient. Outputs may be the first input.
#include "activation.cuh"
#include "elements.cuh"

extern "C" __global__ void bias_activation(
    const VALUE* z, const BIAS* bias, VALUE* y, long long rows, int n, int activation) {
    const auto body = [=](REAL z, REAL bias, VALUE& y) { y = activate(z + bias, activation); };
    for (long long row = first_line(); row < rows; row += lines_at_once()) {
        for_columns(n, body, reads(z + row * n), reads(bias), writes(y + row * n));
    }
}

enum {
    COLUMNS = 32,  // a block's threads are LANES rows of COLUMNS: see COLUMN_BLOCK in launch.py
    LANES = 8,
    AHEAD = 4,            // rows of a lane that are loaded before the first is used
    CHUNK = 4 * AHEAD,    // rows of a lane summed on their own before they join its total, for accurate float sums
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

// A block takes COLUMNS columns of one of gridDim.y parts of the rows, and leaves its sums in `partial`. The block
// that arrives last at some columns, whichever it is, adds all parts in order: the bits do not depend on the grid.
extern "C" __global__ void bias_activation_backward(
    const VALUE* dy,
    const VALUE* y,
    VALUE* dz,
    REAL* dbias,
    REAL* partial,
    unsigned int* arrived,
    long long rows,
    long long n,
    long long part,
    int activation) {
    __shared__ bool last;
    const long long start = blockIdx.y * part, stop = start + part < rows ? start + part : rows;
    for (long long tile = blockIdx.x; tile * COLUMNS < n; tile += gridDim.x) {
        const long long column = tile * COLUMNS + threadIdx.x;
        REAL total = 0;
        for (long long chunk = start + threadIdx.y; chunk < stop && column < n; chunk += CHUNK * LANES) {
            REAL sum = 0;
#pragma unroll 1  // or some compilers load the whole chunk ahead, which takes 160 registers
            for (long long first = chunk; first < chunk + CHUNK * LANES; first += AHEAD * LANES) {
                REAL gradients[AHEAD], values[AHEAD];
                for (int k = 0; k < AHEAD; ++k) {
                    const long long row = first + k * LANES;
                    if (row >= stop) break;
                    gradients[k] = dy[row * n + column];
                    values[k] = y[row * n + column];
                }
                for (int k = 0; k < AHEAD; ++k) {
                    const long long row = first + k * LANES;
                    if (row >= stop) break;
                    const REAL d = differentiate(gradients[k], values[k], activation);
                    dz[row * n + column] = d;
                    sum += d;
                }
            }
            total += sum;
        }
        total = lane_sum(total);
        if (gridDim.y == 1) {
            if (threadIdx.y == 0 && column < n) dbias[column] = total;
            continue;
        }
        if (threadIdx.y == 0 && column < n) partial[blockIdx.y * n + column] = total;
        __threadfence();  // the sums are seen by others before the arrival is
        __syncthreads();
        if (threadIdx.x == 0 && threadIdx.y == 0) last = atomicInc(&arrived[tile], gridDim.y - 1) == gridDim.y - 1;
        __syncthreads();
        if (last) {
            __threadfence();
            const volatile REAL* sums = partial;  // not from this processor's own cache
            total = 0;
            for (unsigned int k = threadIdx.y; k < gridDim.y && column < n; k += LANES) total += sums[k * n + column];
            total = lane_sum(total);
            if (threadIdx.y == 0 && column < n) dbias[column] = total;
        }
    }
}
