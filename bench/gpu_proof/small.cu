// A training step of a small network in 2·layers phases: dense layers, hidden ones equally wide and followed by ReLU,
// softmax cross-entropy, Adam. A phase needs all of the one before it, so either each is a launch of its own
// (small_phase), or blocks that stay wait for each other in between (small_step). The formulas are in small_step.py.
//
// No pointer is __restrict__: through one that is const too, the compiler would read what other blocks write meanwhile
// from a cache that does not see it. Functions of a phase are not inlined, each has the registers to itself.
#include "counters.cuh"
#include "grid_barrier.cuh"
#include "small_tile.cuh"
#include "warp.cuh"

enum {
    SIDE = 16,    // rows and columns of a tile of activations
    SQUARE = 64,  // rows and columns of a tile of weights
    DEEP = sizeof(REAL) == 4 ? 256 : 128,  // inputs in a chunk: 40 KiB with both factors
    FLAT = sizeof(REAL) == 4 ? 64 : 32,    // rows of the batch in a chunk: 34 KiB
    AHEAD = 4,    // weights of a thread that are loaded before the first is used
    CONSTANTS = 8,  // of Adam, in a row of the table
};

__shared__ union {
    Tile<SIDE, SIDE, DEEP> activations;
    Tile<SQUARE, SQUARE, FLAT> weights;
} memory;

// The step's arrays, a copy for each block: what follows from it is not held in registers from phase to phase.
// A layer's weights and bias lie together as inputs + 1 rows, of which the bias is the last.
__shared__ struct {
    const REAL* data;
    const long long *order, *labels;
    REAL *p, *m, *v;
    const REAL* constants;
    long long* counters;
    REAL *values, *deltas, *scores;
    double* totals;
    int rows, first, hidden, last, layers;
    long long number;

    __device__ bool is_last(int layer) const { return layer == layers - 1; }
    __device__ int inputs(int layer) const { return layer == 0 ? first : hidden; }
    __device__ int outputs(int layer) const { return is_last(layer) ? last : hidden; }
    __device__ long long weights(int layer) const {
        return layer == 0 ? 0 : (first + 1LL) * hidden + (layer - 1) * (hidden + 1LL) * hidden;
    }
    __device__ REAL* value(int layer) const { return values + (long long)layer * rows * hidden; }
    __device__ REAL* delta(int layer) const { return deltas + (long long)layer * rows * hidden; }
    // The first of a row of a layer's input, which is of the data or what the layer before has given.
    __device__ const REAL* input(int layer, int row) const {
        return layer == 0 ? data + order[row] * first : value(layer - 1) + (long long)row * hidden;
    }
} step;

__device__ inline int tiles(int extent, int size) { return (extent + size - 1) / size; }

// A tile of a layer's outputs before the activation, without the bias.
__device__ void weigh_inputs(int layer, int row, int column) {
    const int inputs = step.inputs(layer), outputs = step.outputs(layer);
    const REAL* w = step.p + step.weights(layer);
    const auto left = [&](int i) { return row + i < step.rows ? step.input(layer, row + i) : nullptr; };
    const auto right = [&](int j, int k) { return column + j < outputs ? w[k * outputs + column + j] : (REAL)0; };
    multiply(memory.activations, inputs, Lines<SIDE, DEEP>(left), Columns<SIDE, DEEP, decltype(right)>(right));
}

__device__ __noinline__ void forward(int layer) {
    const int outputs = step.outputs(layer), across = tiles(outputs, SIDE);
    const REAL* bias = step.p + step.weights(layer) + (long long)step.inputs(layer) * outputs;
    const int i = threadIdx.x / SIDE, j = threadIdx.x % SIDE;  // a thread finishes one element
    for (int t = blockIdx.x; t < tiles(step.rows, SIDE) * across; t += gridDim.x) {
        const int row = t / across * SIDE, column = t % across * SIDE;
        weigh_inputs(layer, row, column);
        if (row + i >= step.rows || column + j >= outputs) continue;
        const REAL z = memory.activations.value(threadIdx.x) + bias[column + j];
        step.value(layer)[(long long)(row + i) * outputs + column + j] = z < (REAL)0 ? (REAL)0 : z;
    }
}

// The last layer and the loss, a warp a row: a tile holds all of its outputs.
__device__ __noinline__ void last_layer() {
    const int layer = step.layers - 1, lane = threadIdx.x % WARP;
    const REAL* bias = step.p + step.weights(layer) + (long long)step.inputs(layer) * step.last;
    const REAL scale = (REAL)1 / (REAL)step.rows;
    for (int t = blockIdx.x; t < tiles(step.rows, SIDE); t += gridDim.x) {
        weigh_inputs(layer, t * SIDE, 0);
        for (int i = threadIdx.x / WARP; i < SIDE && t * SIDE + i < step.rows; i += BLOCK / WARP) {
            const long long row = t * SIDE + i;
            const bool mine = lane < step.last;
            const int column = mine ? lane : 0;  // lanes beyond the last class repeat the first one's logit
            const REAL z = memory.activations.value(i * SIDE + column) + bias[column];
            REAL top = z;
            int best = column;
            for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
                const REAL other = from_partner(top, lanes);
                const int place = from_partner(best, lanes);
                if (other > top || (other == top && place < best)) {
                    top = other;
                    best = place;
                }
            }
            const REAL e = mine ? exp(z - top) : (REAL)0;
            const REAL total = warp_sum(e);
            const int label = (int)step.labels[step.order[row]];
            if (mine) step.delta(layer)[row * step.last + lane] = e * (scale / total) - (lane == label ? scale : (REAL)0);
            if (lane == label) {
                const REAL loss = log(total) - (z - top);
                step.scores[2 * row] = loss;
                step.scores[2 * row + 1] = best == label ? (REAL)1 : (REAL)0;
                if (!isfinite(loss) && step.counters[FAILED] < 0) step.counters[FAILED] = step.number;  // all write the same
            }
        }
    }
}

// The gradient of a layer's inputs, which are outputs of a ReLU: one tile of it.
__device__ __noinline__ void backward_tile(int layer, int t) {
    const int inputs = step.inputs(layer), outputs = step.outputs(layer), across = tiles(inputs, SIDE);
    const int row = t / across * SIDE, column = t % across * SIDE;
    const REAL *w = step.p + step.weights(layer), *delta = step.delta(layer);
    const auto left = [&](int i) { return row + i < step.rows ? delta + (row + i) * outputs : nullptr; };
    const auto right = [&](int j) { return column + j < inputs ? w + (column + j) * outputs : nullptr; };
    multiply(memory.activations, outputs, Lines<SIDE, DEEP>(left), Lines<SIDE, DEEP>(right));
    const int i = row + threadIdx.x / SIDE, j = column + threadIdx.x % SIDE;
    if (i >= step.rows || j >= inputs) return;
    const long long place = (long long)i * inputs + j;
    step.delta(layer - 1)[place] = step.value(layer - 1)[place] > (REAL)0 ? memory.activations.value(threadIdx.x) : (REAL)0;
}

// One tile of the gradient of a layer's weights and bias, and their update at once: gradients never reach memory.
__device__ __noinline__ void update_tile(int layer, int t) {
    const int inputs = step.inputs(layer), outputs = step.outputs(layer), across = tiles(outputs, SQUARE);
    const int row = t / across * SQUARE, column = t % across * SQUARE;
    const REAL* delta = step.delta(layer);
    const auto left = [&](int i, int k) {  // the bias is the weight of an input that is 1
        return row + i < inputs ? step.input(layer, k)[row + i] : (REAL)(row + i == inputs);
    };
    const auto right = [&](int j, int k) {
        return column + j < outputs ? delta[k * outputs + column + j] : (REAL)0;
    };
    multiply(
        memory.weights, step.rows, Columns<SQUARE, FLAT, decltype(left)>(left), Columns<SQUARE, FLAT, decltype(right)>(right));

    const REAL rate = step.constants[1], root = step.constants[2], eps = step.constants[7];
    const REAL beta1 = step.constants[3], gain1 = step.constants[4];
    const REAL beta2 = step.constants[5], gain2 = step.constants[6];
    const long long first = step.weights(layer) + (long long)row * outputs + column;
    REAL *const p = step.p + first, *const m = step.m + first, *const v = step.v + first;
    for (int done = 0; done < Tile<SQUARE, SQUARE, FLAT>::OUTPUTS; done += AHEAD) {
        REAL ps[AHEAD], ms[AHEAD], vs[AHEAD];
        const auto each = [&](const auto& act) {
#pragma unroll
            for (int a = 0; a < AHEAD; ++a) {
                const int element = threadIdx.x + (done + a) * BLOCK, i = element / SQUARE, j = element % SQUARE;
                if (row + i <= inputs && column + j < outputs) act(a, element, (long long)i * outputs + j);
            }
        };
        each([&](int a, int, long long place) {
            ps[a] = p[place];
            ms[a] = m[place];
            vs[a] = v[place];
        });
        each([&](int a, int element, long long place) {
            const REAL g = memory.weights.value(element);
            const REAL first = beta1 * ms[a] + gain1 * g, second = beta2 * vs[a] + gain2 * g * g;
            p[place] = ps[a] - rate * (first / (sqrt(second) * root + eps));
            m[place] = first;
            v[place] = second;
        });
    }
}

// The batch's scores join the totals, in one warp and a fixed order.
__device__ void tally() {
    if (blockIdx.x > 0 || threadIdx.x >= WARP) return;
    double loss = 0, right = 0;
    for (int row = threadIdx.x; row < step.rows; row += WARP) {
        loss += step.scores[2 * row];
        right += step.scores[2 * row + 1];
    }
    loss = warp_sum(loss);
    right = warp_sum(right);
    if (threadIdx.x > 0) return;
    step.totals[0] += step.rows;
    step.totals[1] += loss;
    step.totals[2] += right;
}

__device__ int weight_tiles(int layer) {
    return tiles(step.inputs(layer) + 1, SQUARE) * tiles(step.outputs(layer), SQUARE);
}

// Gradients go down from the last layer. Weights are updated a phase after they were last read, so those of the layer
// above the present one, and at the end those of the first layer too.
__device__ void backward(int layer) {
    if (step.is_last(layer)) tally();
    const bool update = step.counters[FAILED] < 0;
    const int inner = layer == 0 ? 0 : tiles(step.rows, SIDE) * tiles(step.inputs(layer), SIDE);
    const int above = step.is_last(layer) ? 0 : weight_tiles(layer + 1);
    const int here = layer == 0 ? weight_tiles(0) : 0;
    for (int t = blockIdx.x; t < inner + above + here; t += gridDim.x) {
        if (t < inner) backward_tile(layer, t);
        else if (update && t < inner + above) update_tile(layer + 1, t - inner);
        else if (update) update_tile(layer, t - inner - above);
    }
}

__device__ void run_phase(int phase) {
    if (phase < step.layers - 1) forward(phase);
    else if (phase == step.layers - 1) last_layer();
    else backward(2 * step.layers - 1 - phase);
}

// One phase of a step; `advance` counts the step afterwards, as in every list.
extern "C" __global__ void small_phase(
    const REAL* data,
    const long long* order,
    const long long* labels,
    REAL* p,
    REAL* m,
    REAL* v,
    const REAL* table,
    long long* counters,
    REAL* values,
    REAL* deltas,
    REAL* scores,
    double* totals,
    int rows,
    int inputs,
    int hidden,
    int outputs,
    int layers,
    int phase) {
    if (threadIdx.x == 0) {
        step = {data, order + counters[CURSOR], labels, p, m, v, table + counters[ROW] * CONSTANTS, counters,
                values, deltas, scores, totals, rows, inputs, hidden, outputs, layers, counters[STEP]};
    }
    __syncthreads();
    run_phase(phase);
}

// Whole steps in one cooperative launch.
extern "C" __global__ void small_step(
    const REAL* data,
    const long long* order,
    const long long* labels,
    REAL* p,
    REAL* m,
    REAL* v,
    const REAL* table,
    long long* counters,
    REAL* values,
    REAL* deltas,
    REAL* scores,
    double* totals,
    unsigned int* arrived,
    int rows,
    int inputs,
    int hidden,
    int outputs,
    int layers,
    int steps) {
    for (int done = 0; done < steps; ++done) {
        if (threadIdx.x == 0) {
            step = {data, order + counters[CURSOR] + (long long)done * rows, labels, p, m, v,
                    table + (counters[ROW] + done) * CONSTANTS, counters, values, deltas, scores, totals,
                    rows, inputs, hidden, outputs, layers, counters[STEP] + done};
        }
        __syncthreads();
        for (int phase = 0; phase < 2 * layers; ++phase) {
            run_phase(phase);
            if (done + 1 < steps || phase + 1 < 2 * layers) grid_barrier(arrived);
        }
    }
    if (blockIdx.x > 0 || threadIdx.x > 0) return;
    counters[STEP] += steps;  // which the other blocks have read before their last barrier
    counters[ROW] += steps;
    counters[CURSOR] += (long long)rows * steps;
}
