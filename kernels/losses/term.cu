// Adds a term to the loss, one thread per row; the formulas are in term.py. `total` may be `scores`.
#include "grid.cuh"

extern "C" __global__ void term(
    const REAL* scores,
    const REAL* term,
    REAL* total,
    REAL* dterm,
    long long rows,
    long long columns,
    long long terms,
    double weight,
    double share) {
    for (long long row = first_item(); row < rows; row += items_at_once()) {
        const REAL value = (REAL)weight * term[terms > 1 ? row : 0];
        const REAL sum = scores[row * columns] + value;
        for (long long j = 1; j < columns; ++j) total[row * columns + j] = scores[row * columns + j];
        total[row * columns] = sum;
        if (row < terms) dterm[row] = (REAL)share;
    }
}
