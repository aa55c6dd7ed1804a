// A barrier that half of the threads never reach.
extern "C" __global__ void stuck(float* x) {
    if (threadIdx.x % 2) __syncthreads();
    x[0] = 1;
}
