// y = (x - mean) * scale by column, a line of threads a row. y may be x.
#include "elements.cuh"

extern "C" __global__ void standardize(
    const DATA* x, const REAL* mean, const REAL* scale, VALUE* y, long long rows, int n) {
    const auto body = [](REAL x, REAL mean, REAL scale, VALUE& y) { y = (x - mean) * scale; };
    for (long long row = first_line(); row < rows; row += lines_at_once()) {
        for_columns(n, body, reads(x + row * n), reads(mean), reads(scale), writes(y + row * n));
    }
}
