// One tile of a product by one block: left (rows, inner) times right (inner, columns), summed in the registers.
//
// Chunks of both factors lie in shared memory, inner index first, while the next ones are on their way to registers: so
// many words are under way at once that the second-level cache's latency is paid once a chunk. A thread sums PACK x PACK
// elements over a slice of the inner index; what the slices' threads have summed is added in a fixed order at the end.
#pragma once

#include "block.cuh"
#include "elements.cuh"
#include "warp.cuh"

template <int ROWS, int COLUMNS, int DEPTH>
union alignas(16) Tile {
    enum {
        ACROSS = COLUMNS / PACK,
        DOWN = ROWS / PACK,
        SLICES = BLOCK / (ACROSS * DOWN),
        OUTPUTS = ROWS * COLUMNS / BLOCK,  // elements that a thread finishes
    };
    struct {
        REAL left[DEPTH][ROWS + PACK];  // with PACK more, stores and loads of a warp fall on different banks
        REAL right[DEPTH][COLUMNS + PACK];
    } chunk;
    REAL sums[SLICES][ROWS * COLUMNS];

    // A finished element of the product, by its number in the tile.
    __device__ REAL value(int element) const {
        REAL total = sums[0][element];
        for (int slice = 1; slice < SLICES; ++slice) total += sums[slice][element];
        return total;
    }
};

// The same number, of which the compiler knows nothing: it would keep an address for each element a thread ever loads,
// which takes all registers, where to compute it anew takes one instruction.
__device__ inline int anew(int number) {
    asm volatile("" : "+r"(number));
    return number;
}

// A chunk of a factor on its way, into registers and from there to shared memory; the factor's neighbours in memory
// follow its inner index. A warp takes 4 pieces of 8 neighbours, whole sectors, and stores to 32 different banks.
template <int OUTERS, int DEPTH>
struct Lines {
    enum { PIECE = 8, PIECES = WARP / PIECE, ACROSS = BLOCK / PIECES, CHUNKS = DEPTH / ACROSS, COUNT = OUTERS / PIECES };
    static_assert(CHUNKS * ACROSS == DEPTH && COUNT * PIECES == OUTERS);
    const REAL* lines[COUNT];
    REAL held[COUNT][CHUNKS];

    // line(outer) is where a row of the factor begins, null beyond the edge.
    template <class Line>
    __device__ explicit Lines(const Line& line) {
        for (int c = 0; c < COUNT; ++c) lines[c] = line(outer(c));
    }
    __device__ static int outer(int c) { return threadIdx.x % WARP / PIECE + c * PIECES; }
    __device__ static int inner(int i) { return threadIdx.x / WARP * PIECE + threadIdx.x % PIECE + i * ACROSS; }

    __device__ void load(int first, int stop) {
        for (int c = 0; c < COUNT; ++c) {
            for (int i = 0; i < CHUNKS; ++i) {
                const int k = anew(first + inner(i));
                held[c][i] = lines[c] && k < stop ? lines[c][k] : (REAL)0;
            }
        }
    }
    __device__ void store(REAL (&chunk)[DEPTH][OUTERS + PACK]) const {
        for (int c = 0; c < COUNT; ++c) {
            for (int i = 0; i < CHUNKS; ++i) chunk[inner(i)][outer(c)] = held[c][i];
        }
    }
};

// The same of a factor whose neighbours follow its outer index: a thread stays with one of those.
template <int OUTERS, int DEPTH, class Factor>
struct Columns {
    enum { STEP_DOWN = BLOCK / OUTERS, COUNT = DEPTH / STEP_DOWN };
    static_assert(STEP_DOWN * OUTERS == BLOCK && COUNT * STEP_DOWN == DEPTH);
    const Factor& factor;  // factor(outer, inner) is an element, 0 beyond the edge
    REAL held[COUNT];

    __device__ explicit Columns(const Factor& factor) : factor(factor) {}
    __device__ static int outer() { return threadIdx.x % OUTERS; }
    __device__ static int inner(int i) { return threadIdx.x / OUTERS + i * STEP_DOWN; }

    __device__ void load(int first, int stop) {
        for (int i = 0; i < COUNT; ++i) {
            const int k = anew(first + inner(i));
            held[i] = k < stop ? factor(outer(), k) : (REAL)0;
        }
    }
    __device__ void store(REAL (&chunk)[DEPTH][OUTERS + PACK]) const {
        for (int i = 0; i < COUNT; ++i) chunk[inner(i)][outer()] = held[i];
    }
};

// Leaves in tile.sums the products of both factors over `inners`.
template <int ROWS, int COLUMNS, int DEPTH, class Left, class Right>
__device__ inline void multiply(Tile<ROWS, COLUMNS, DEPTH>& tile, int inners, Left left, Right right) {
    typedef Tile<ROWS, COLUMNS, DEPTH> T;
    const int across = threadIdx.x % T::ACROSS * PACK, down = threadIdx.x / T::ACROSS % T::DOWN * PACK;
    const int slice = threadIdx.x / (T::ACROSS * T::DOWN);
    REAL sums[PACK][PACK] = {};

    left.load(0, inners);
    right.load(0, inners);
    for (int first = 0; first < inners; first += DEPTH) {
        __syncthreads();  // what was here has been read
        left.store(tile.chunk.left);
        right.store(tile.chunk.right);
        __syncthreads();
        if (first + DEPTH < inners) {
            left.load(first + DEPTH, inners);
            right.load(first + DEPTH, inners);
        }
        const int depth = inners - first < DEPTH ? inners - first : DEPTH;
#pragma unroll 2
        for (int k = slice; k < depth; k += T::SLICES) {
            const Pack<REAL> a = load_pack(tile.chunk.left[k], down), b = load_pack(tile.chunk.right[k], across);
            for (int i = 0; i < PACK; ++i) {
                for (int j = 0; j < PACK; ++j) sums[i][j] += a.lane[i] * b.lane[j];
            }
        }
    }
    __syncthreads();
    for (int i = 0; i < PACK; ++i) {
        for (int j = 0; j < PACK; ++j) tile.sums[slice][(down + i) * COLUMNS + across + j] = sums[i][j];
    }
    __syncthreads();
}
