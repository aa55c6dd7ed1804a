// Bias and activation, and their backward with the bias gradient. Outputs may be the first input.
#include "activation.cuh"
#include "column_sums.cuh"
#include "elements.cuh"

extern "C" __global__ void bias_activation(
    const VALUE* z, const BIAS* bias, VALUE* y, long long rows, int n, int activation) {
    const auto body = [=](REAL z, REAL bias, VALUE& y) { y = activate(z + bias, activation); };
    for (long long row = first_line(); row < rows; row += lines_at_once()) {
        for_columns(n, body, reads(z + row * n), reads(bias), writes(y + row * n));
    }
}

enum {
    AHEAD = 4,          // rows of a lane that are loaded before the first is used
    CHUNK = 4 * AHEAD,  // rows of a lane that are summed before they are added to its total, for accurate float sums
};

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
        leave_part(total, column, n, dbias, partial);
        if (arrives_last(arrived, tile)) add_parts(column, n, dbias, partial);
    }
}
