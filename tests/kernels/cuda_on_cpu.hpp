// What the kernels use of CUDA, for a C++ compiler: a grid runs block by block on the calling thread.
//
// Kernels without barriers run as plain loops. With WITH_BARRIERS a block's threads are fibers that switch at
// barriers and shuffles. Races, alignment and memory order stay unseen; that every thread reaches every barrier
// is checked, and running blocks and threads backwards shows results that depend on their order.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>

#define __global__
#define __device__
#define __shared__ static

using std::exp;
using std::isfinite;
using std::log;
using std::memcpy;
using std::sqrt;
using std::tanh;

template <class T>
static inline T cospi(T x) {
    return std::cos(T(3.14159265358979323846) * x);
}

template <class T>
static inline T sinpi(T x) {
    return std::sin(T(3.14159265358979323846) * x);
}

struct Index {
    unsigned int x, y, z;
};

// As on the device, a word may stand for other types' bytes.
struct __attribute__((may_alias, aligned(16))) uint4 {
    unsigned int x, y, z, w;
};

struct __attribute__((may_alias, aligned(8))) uint2 {
    unsigned int x, y;
};

static inline void __stwb(uint4* place, uint4 word) { *place = word; }
static inline void __stwb(uint2* place, uint2 word) { *place = word; }

// Half precision by integers, as the device's instructions convert: to the nearest, ties to even.
static inline float from_half(unsigned short bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value = exponent == 0    ? std::ldexp(float(fraction), -24)
                  : exponent == 31 ? (fraction ? NAN : INFINITY)
                                   : std::ldexp(float(1024 + fraction), exponent - 25);
    return bits >> 15 ? -value : value;
}

static inline unsigned short half_of(float value) {
    const unsigned short sign = std::signbit(value) ? 0x8000 : 0;
    const float size = std::fabs(value);
    if (std::isnan(value)) return sign | 0x7fff;
    if (size >= 65520.0f) return sign | 0x7c00;
    const int exponent = size < 6.103515625e-05f ? -14 : std::ilogb(size);  // below that, numbers lose digits
    const int steps = int(std::nearbyint(std::ldexp(size, 10 - exponent)));  // of the last place
    return sign | (steps + ((exponent + 14) << 10));
}

static Index gridDim, blockDim, blockIdx, threadIdx;

// One block runs to its end before the next begins, and one thread at a time: nothing comes between.
static inline void __threadfence() {}

static inline unsigned int atomicInc(unsigned int* counter, unsigned int most) {
    const unsigned int before = *counter;
    *counter = before >= most ? 0 : before + 1;
    return before;
}

namespace cuda_on_cpu {

enum Outcome { DONE, STUCK };

static Index place(std::size_t number, Index extent) {
    return {
        unsigned(number % extent.x),
        unsigned(number / extent.x % extent.y),
        unsigned(number / extent.x / extent.y),
    };
}

static std::size_t volume(Index extent) { return std::size_t(extent.x) * extent.y * extent.z; }

}  // namespace cuda_on_cpu

#ifdef WITH_BARRIERS

#include <ucontext.h>

#include <memory>
#include <vector>

namespace cuda_on_cpu {

enum { WARP_SIZE = 32, STACK = 256 * 1024 };

struct Barrier {
    unsigned int arrived = 0, phase = 0;
};

struct Warp {
    Barrier barrier;
    unsigned char slots[2][WARP_SIZE][8];  // two in turn: a fast lane may be one shuffle ahead
};

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    bool done;
};

struct Block {
    ucontext_t scheduler;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    Barrier barrier;
    std::size_t current;
    bool moved;  // whether any fiber got further in this round
    void (*kernel)(void**);
    void** arguments;
};

static Block block;

static void enter() {
    block.kernel(block.arguments);
    block.fibers[block.current].done = true;
}

static void wait(Barrier& barrier, std::size_t threads) {
    const unsigned int phase = barrier.phase;
    block.moved = true;
    if (++barrier.arrived == threads) {
        barrier.arrived = 0;
        ++barrier.phase;
        return;
    }
    while (barrier.phase == phase) swapcontext(&block.fibers[block.current].context, &block.scheduler);
}

static Outcome run_block(bool backwards) {
    const std::size_t threads = volume(blockDim);
    if (block.fibers.size() < threads) block.fibers.resize(threads);
    block.barrier = {};
    block.warps.assign((threads + WARP_SIZE - 1) / WARP_SIZE, {});
    for (std::size_t i = 0; i < threads; ++i) {
        Fiber& fiber = block.fibers[i];
        fiber.done = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = &block.scheduler;
        makecontext(&fiber.context, enter, 0);
    }
    for (std::size_t left = threads; left > 0;) {
        block.moved = false;
        for (std::size_t i = 0; i < threads; ++i) {
            block.current = backwards ? threads - 1 - i : i;
            Fiber& fiber = block.fibers[block.current];
            if (fiber.done) continue;
            threadIdx = place(block.current, blockDim);
            swapcontext(&block.scheduler, &fiber.context);
            if (fiber.done) {
                --left;
                block.moved = true;
            }
        }
        if (!block.moved) return STUCK;
    }
    return block.barrier.arrived ? STUCK : DONE;
}

}  // namespace cuda_on_cpu

static void __syncthreads() { cuda_on_cpu::wait(cuda_on_cpu::block.barrier, cuda_on_cpu::volume(blockDim)); }

template <class T>
static T __shfl_xor_sync(unsigned int mask, T value, int lanes) {
    using namespace cuda_on_cpu;
    static_assert(sizeof(T) <= 8, "a shuffle moves 4 or 8 bytes");
    Warp& warp = block.warps[block.current / WARP_SIZE];
    const std::size_t lane = block.current % WARP_SIZE;
    auto& slots = warp.slots[warp.barrier.phase & 1];
    std::memcpy(slots[lane], &value, sizeof(T));
    wait(warp.barrier, __builtin_popcount(mask));
    std::memcpy(&value, slots[lane ^ lanes], sizeof(T));
    return value;
}

#endif

namespace cuda_on_cpu {

// Runs `kernel` over a grid (x, y, z); not to be entered by two threads at once.
static int run(void (*kernel)(void**), void** arguments, const unsigned int* grid, const unsigned int* threads,
               bool backwards) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads[0], threads[1], threads[2]};
    const std::size_t blocks = volume(gridDim);
    for (std::size_t i = 0; i < blocks; ++i) {
        blockIdx = place(backwards ? blocks - 1 - i : i, gridDim);
#ifdef WITH_BARRIERS
        block.kernel = kernel;
        block.arguments = arguments;
        if (run_block(backwards) == STUCK) return STUCK;
#else
        const std::size_t count = volume(blockDim);
        for (std::size_t t = 0; t < count; ++t) {
            threadIdx = place(backwards ? count - 1 - t : t, blockDim);
            kernel(arguments);
        }
#endif
    }
    return DONE;
}

}  // namespace cuda_on_cpu
