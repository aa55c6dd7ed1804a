// The sum over the rows of a matrix, for each column.
#include "value.cuh"

#include "column_sums.cuh"

enum { CHUNK = 16 };  // rows of a lane that are summed before they are added to its total, for accurate float sums

extern "C" __global__ void sum_rows(
    const VALUE* x, REAL* y, REAL* partial, unsigned int* arrived, long long rows, long long n, long long part) {
    const long long start = blockIdx.y * part, stop = start + part < rows ? start + part : rows;
    for (long long tile = blockIdx.x; tile * COLUMNS < n; tile += gridDim.x) {
        const long long column = tile * COLUMNS + threadIdx.x;
        REAL total = 0;
        for (long long chunk = start + threadIdx.y; chunk < stop && column < n; chunk += CHUNK * LANES) {
            REAL sum = 0;
            for (int k = 0; k < CHUNK && chunk + k * LANES < stop; ++k) sum += (REAL)x[(chunk + k * LANES) * n + column];
            total += sum;
        }
        leave_part(total, column, n, y, partial);
        if (arrives_last(arrived, tile)) add_parts(column, n, y, partial);
    }
}
