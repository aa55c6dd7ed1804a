// One-dimensional grids: a thread starts at its own item and strides over the rest, so any grid covers any size.
#pragma once

__device__ inline long long first_item() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

__device__ inline long long items_at_once() { return (long long)gridDim.x * blockDim.x; }
