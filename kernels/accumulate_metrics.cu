// Accumulates the metrics of a batch, in one block; records the first step whose loss is not finite.
#include "block.cuh"
#include "counters.cuh"

extern "C" __global__ void accumulate_metrics(
    const REAL* scores, long long* counters, double* totals, long long rows, long long columns) {
    if (blockIdx.x > 0) return;
    for (long long column = 0; column < columns; ++column) {
        double sum = 0;
        for (long long row = threadIdx.x; row < rows; row += BLOCK) sum += scores[row * columns + column];
        sum = block_sum(sum);
        if (threadIdx.x == 0) totals[1 + column] += sum;
    }
    if (threadIdx.x == 0) {
        totals[0] += (double)rows;
        if (!isfinite(totals[1]) && counters[FAILED] < 0) counters[FAILED] = counters[STEP];
    }
}
