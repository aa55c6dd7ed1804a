// A place where all blocks of a launch wait for each other; the launch must be a cooperative one, which the driver
// refuses where not all of its blocks fit on the device at once.
#pragma once

// An addition before which all that its thread has seen is there for others, and a look after which it is there for us.
#ifdef __CUDACC__
__device__ inline unsigned int add_release(unsigned int* place, unsigned int value) {
    unsigned int before;
    asm volatile("atom.add.release.gpu.u32 %0, [%1], %2;" : "=r"(before) : "l"(place), "r"(value) : "memory");
    return before;
}

__device__ inline unsigned int look_acquire(const unsigned int* place) {
    unsigned int now;
    asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(now) : "l"(place) : "memory");
    return now;
}
#endif

// One barrier adds 2^31 in all: block 0 what the others, who add 1 each, leave of it. So the highest bit flips with the
// last arrival, whichever that is, the bits below are 0 again, and nothing is ever reset.
__device__ inline void grid_barrier(unsigned int* arrived) {
    const unsigned int flag = 1u << 31;
    __syncthreads();
    if (threadIdx.x == 0) {
        const unsigned int before = add_release(arrived, blockIdx.x == 0 ? flag - (gridDim.x - 1) : 1);
        while (((look_acquire(arrived) ^ before) & flag) == 0) {
        }
    }
    __syncthreads();
}
