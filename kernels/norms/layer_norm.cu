// Layer normalisation, a warp a row, and its sums over rows; the formulas are in layer_norm.py. y may be x, dx may be dy.
#include "column_sums.cuh"
#include "value.cuh"
#include "warp.cuh"

extern "C" __global__ void layer_norm(
    const VALUE* x, const REAL* scale, const REAL* shift, VALUE* y, REAL* statistics, long long rows, int n, double eps) {
    const int lane = threadIdx.x % WARP;
    const REAL share = (REAL)1 / (REAL)n;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const VALUE* from = x + row * n;
        VALUE* to = y + row * n;
        REAL total = 0, squares = 0;
        for (int j = lane; j < n; j += WARP) total += from[j];
        const REAL mean = warp_sum(total) * share;
        for (int j = lane; j < n; j += WARP) squares += (from[j] - mean) * (from[j] - mean);
        const REAL r = (REAL)1 / sqrt(warp_sum(squares) * share + (REAL)eps);
        for (int j = lane; j < n; j += WARP) to[j] = (from[j] - mean) * r * scale[j] + shift[j];
        if (lane == 0) {
            statistics[2 * row] = mean;
            statistics[2 * row + 1] = r;
        }
    }
}

extern "C" __global__ void layer_norm_backward(
    const VALUE* dy, const VALUE* x, const REAL* scale, const REAL* statistics, VALUE* dx, long long rows, int n) {
    const int lane = threadIdx.x % WARP;
    const REAL share = (REAL)1 / (REAL)n;
    for (long long row = first_row(); row < rows; row += rows_at_once()) {
        const REAL mean = statistics[2 * row], r = statistics[2 * row + 1];
        const VALUE* from = x + row * n;
        const VALUE* d = dy + row * n;
        REAL plain = 0, product = 0;
        for (int j = lane; j < n; j += WARP) {
            const REAL g = d[j] * scale[j];
            plain += g;
            product += g * (from[j] - mean);
        }
        plain = warp_sum(plain) * share;
        product = warp_sum(product) * share * r;
        for (int j = lane; j < n; j += WARP)
            dx[row * n + j] = r * (d[j] * scale[j] - plain - (from[j] - mean) * r * product);
    }
}

enum { CHUNK = 16 };  // rows of a lane that are summed before they are added to its total, for accurate float sums

// `parts` is how many parts `partial` has room for: those of dscale come first, then those of dshift.
extern "C" __global__ void layer_norm_sums(
    const VALUE* dy,
    const VALUE* x,
    const REAL* statistics,
    REAL* dscale,
    REAL* dshift,
    REAL* partial,
    unsigned int* arrived,
    long long rows,
    long long n,
    long long part,
    long long parts) {
    const long long start = blockIdx.y * part, stop = start + part < rows ? start + part : rows;
    for (long long tile = blockIdx.x; tile * COLUMNS < n; tile += gridDim.x) {
        const long long column = tile * COLUMNS + threadIdx.x;
        REAL scale = 0, shift = 0;
        for (long long chunk = start + threadIdx.y; chunk < stop && column < n; chunk += CHUNK * LANES) {
            REAL products = 0, sum = 0;
            for (int k = 0; k < CHUNK; ++k) {
                const long long row = chunk + k * LANES;
                if (row >= stop) break;
                const REAL d = dy[row * n + column];
                products += d * ((x[row * n + column] - statistics[2 * row]) * statistics[2 * row + 1]);
                sum += d;
            }
            scale += products;
            shift += sum;
        }
        leave_part(scale, column, n, dscale, partial);
        leave_part(shift, column, n, dshift, partial + parts * n);
        if (arrives_last(arrived, tile)) {
            add_parts(column, n, dscale, partial);
            add_parts(column, n, dshift, partial + parts * n);
        }
    }
}
