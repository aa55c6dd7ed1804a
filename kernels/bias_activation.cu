// Bias and activation, and their backward with the bias gradient. Outputs may be the first input.
#include "activation.cuh"
#include "grid.cuh"

extern "C" __global__ void bias_activation(
    const REAL* z, const REAL* bias, REAL* y, long long size, long long n, int activation) {
    for (long long i = first_item(); i < size; i += items_at_once()) y[i] = activate(z[i] + bias[i % n], activation);
}

enum {
    COLUMNS = 32,  // a block's threads are LANES rows of COLUMNS: see COLUMN_BLOCK in launch.py
    LANES = 8,
    CHUNK = 16 * LANES,  // rows summed on their own before they join the total, which keeps float sums accurate
};

// A block takes COLUMNS columns at a time. Lane k sums rows k, k + LANES, ... in order, then the lanes join in
// order: the bits do not depend on the grid.
extern "C" __global__ void bias_activation_backward(
    const REAL* dy, const REAL* y, REAL* dz, REAL* dbias, long long rows, long long n, int activation) {
    __shared__ REAL sums[LANES][COLUMNS];
    for (long long first = (long long)blockIdx.x * COLUMNS; first < n; first += (long long)gridDim.x * COLUMNS) {
        const long long column = first + threadIdx.x;
        REAL total = 0;
        for (long long chunk = 0; chunk < rows && column < n; chunk += CHUNK) {
            REAL part = 0;
            const long long stop = chunk + CHUNK < rows ? chunk + CHUNK : rows;
            for (long long row = chunk + threadIdx.y; row < stop; row += LANES) {
                const long long i = row * n + column;
                const REAL d = differentiate(dy[i], y[i], activation);
                dz[i] = d;
                part += d;
            }
            total += part;
        }
        sums[threadIdx.y][threadIdx.x] = total;
        __syncthreads();
        if (threadIdx.y == 0 && column < n) {
            for (int lane = 1; lane < LANES; ++lane) total += sums[lane][threadIdx.x];
            dbias[column] = total;
        }
        __syncthreads();  // the next columns write `sums`
    }
}
