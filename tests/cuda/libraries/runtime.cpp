// The CUDA runtime as far as CuPy calls it: devices, memory and copies.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>

#include "device.hpp"
#undef cudaGetDeviceProperties
using namespace stand_in;

static thread_local cudaError_t last_error = cudaSuccess;

cudaError_t stand_in::returned(cudaError_t error) {
    if (device().lost != cudaSuccess) error = device().lost;
    if (error != cudaSuccess) last_error = error;
    return error;
}

struct Named {
    cudaError_t number;
    const char *name, *text;
};
static const Named ERRORS[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorCooperativeLaunchTooLarge, "cudaErrorCooperativeLaunchTooLarge", "too many blocks in cooperative launch"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};
static Named named(cudaError_t error) {
    for (const Named& one : ERRORS) {
        if (one.number == error) return one;
    }
    return {error, "cudaErrorUnknown", "an error that the stand-in has no text for"};
}

EXPORT cudaError_t cudaGetLastError() {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}
EXPORT cudaError_t cudaPeekAtLastError() { return last_error; }
EXPORT const char* cudaGetErrorName(cudaError_t error) { return named(error).name; }
EXPORT const char* cudaGetErrorString(cudaError_t error) { return named(error).text; }

// ---- devices

static bool too_old() { return device().driver / 1000 < CUDART_VERSION / 1000; }
static bool is_device(int number) { return !too_old() && number >= 0 && number < device().count; }

EXPORT cudaError_t cudaDriverGetVersion(int* version) {
    ENTER;
    *version = device().driver;
    return cudaSuccess;
}
EXPORT cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
EXPORT cudaError_t cudaGetDeviceCount(int* count) {
    ENTER;
    *count = too_old() ? 0 : device().count;
    return returned(too_old() ? cudaErrorInsufficientDriver : *count ? cudaSuccess : cudaErrorNoDevice);
}
EXPORT cudaError_t cudaGetDevice(int* number) {
    ENTER;
    *number = 0;
    return returned(is_device(0) ? cudaSuccess : cudaErrorNoDevice);
}
EXPORT cudaError_t cudaSetDevice(int number) {
    ENTER;
    return returned(is_device(number) && number == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
EXPORT cudaError_t cudaDeviceSynchronize() {
    ENTER;
    for (Stream* stream : device().streams) {
        if (!stream->capture) continue;
        stream->capture->broken = true;
        return returned(cudaErrorStreamCaptureUnsupported);
    }
    complete_everything();
    return returned(cudaSuccess);
}

// Those of an H100, with few multiprocessors so that grids stay small.
static const std::map<int, int> ATTRIBUTES = {
    {cudaDevAttrMaxThreadsPerBlock, 1024}, {cudaDevAttrMaxBlockDimX, 1024}, {cudaDevAttrMaxBlockDimY, 1024},
    {cudaDevAttrMaxBlockDimZ, 64}, {cudaDevAttrMaxGridDimX, 2147483647}, {cudaDevAttrMaxGridDimY, 65535},
    {cudaDevAttrMaxGridDimZ, 65535}, {cudaDevAttrMaxSharedMemoryPerBlock, 49152},
    {cudaDevAttrMaxSharedMemoryPerBlockOptin, 232448}, {cudaDevAttrMaxSharedMemoryPerMultiprocessor, 233472},
    {cudaDevAttrWarpSize, 32}, {cudaDevAttrMultiProcessorCount, 4}, {cudaDevAttrComputeCapabilityMajor, 9},
    {cudaDevAttrComputeCapabilityMinor, 0}, {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
    {cudaDevAttrMaxRegistersPerBlock, 65536}, {cudaDevAttrL2CacheSize, 52428800}, {cudaDevAttrClockRate, 1980000},
    {cudaDevAttrMemoryClockRate, 2619000}, {cudaDevAttrGlobalMemoryBusWidth, 5120},
    {cudaDevAttrCooperativeLaunch, 1}, {cudaDevAttrConcurrentKernels, 1}, {cudaDevAttrUnifiedAddressing, 1},
};
EXPORT cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int number) {
    ENTER;
    if (!is_device(number)) return returned(cudaErrorInvalidDevice);
    const auto found = ATTRIBUTES.find(attribute);
    *value = found == ATTRIBUTES.end() ? 0 : found->second;
    return cudaSuccess;
}
EXPORT cudaError_t cudaGetDeviceProperties_v2(cudaDeviceProp* properties, int number) {
    ENTER;
    if (!is_device(number)) return returned(cudaErrorInvalidDevice);
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "stand-in for an H100");
    properties->totalGlobalMem = device().total;
    properties->sharedMemPerBlock = 49152;
    properties->regsPerBlock = 65536;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->major = 9;
    properties->multiProcessorCount = 4;
    properties->l2CacheSize = 52428800;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->memoryBusWidth = 5120;
    properties->clockRate = 1980000;
    properties->memoryClockRate = 2619000;
    return cudaSuccess;
}
EXPORT cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int number) {
    return cudaGetDeviceProperties_v2(properties, number);
}

EXPORT cudaError_t cudaDeviceGetPCIBusId(char* text, int room, int number) {
    ENTER;
    if (!is_device(number)) return returned(cudaErrorInvalidDevice);
    snprintf(text, room, "0000:%02X:00.0", device().number + 1);
    return cudaSuccess;
}

// ---- memory

EXPORT cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    ENTER;
    *total = device().total;
    *free = device().total - device().used;
    return returned(is_device(0) ? cudaSuccess : cudaErrorNoDevice);
}
static cudaError_t allocated(void** place, size_t size, Kind kind) {
    if (!is_device(0)) return cudaErrorNoDevice;
    if (capture_forbids_waiting()) return cudaErrorStreamCaptureUnsupported;
    *place = size ? (void*)allocate(size, kind) : nullptr;
    return size && !*place ? cudaErrorMemoryAllocation : cudaSuccess;
}
static cudaError_t freed(void* place, Kind kind) {
    if (!place) return cudaSuccess;
    if (capture_forbids_waiting()) return cudaErrorStreamCaptureUnsupported;
    complete_everything();
    return release(place, kind) ? cudaSuccess : cudaErrorInvalidValue;
}
EXPORT cudaError_t cudaMalloc(void** place, size_t size) {
    ENTER;
    return returned(allocated(place, size, Kind::DEVICE));
}
EXPORT cudaError_t cudaFree(void* place) {
    ENTER;
    return returned(freed(place, Kind::DEVICE));
}
EXPORT cudaError_t cudaHostAlloc(void** place, size_t size, unsigned) {
    ENTER;
    return returned(allocated(place, size, Kind::PINNED));
}
EXPORT cudaError_t cudaFreeHost(void* place) {
    ENTER;
    return returned(freed(place, Kind::PINNED));
}
EXPORT cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* place) {
    ENTER;
    const Kind kind = kind_of(place);
    memset(attributes, 0, sizeof *attributes);
    attributes->type = kind == Kind::DEVICE   ? cudaMemoryTypeDevice
                       : kind == Kind::PINNED ? cudaMemoryTypeHost
                                              : cudaMemoryTypeUnregistered;
    attributes->device = kind == Kind::PAGEABLE ? cudaInvalidDeviceId : 0;
    attributes->devicePointer = kind == Kind::PAGEABLE ? nullptr : (void*)place;
    attributes->hostPointer = kind == Kind::PINNED ? (void*)place : nullptr;
    return returned(cudaSuccess);
}

// ---- copies

// Memory of the host that is not pinned is read at once into a staging buffer; pinned memory is read when the copy runs.
static cudaError_t copy(void* to, const void* from, size_t size, cudaMemcpyKind direction, Stream* stream) {
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!size) return cudaSuccess;
    const Kind source = kind_of(from), target = kind_of(to);
    if (!holds(from, size, source) || !holds(to, size, target)) {
        say("a copy of %zu bytes leaves its block", size);
        return cudaErrorInvalidValue;
    }
    const bool up = target == Kind::DEVICE, down = source == Kind::DEVICE;
    const cudaMemcpyKind fits = up ? (down ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                                   : (down ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
    if (direction != fits && direction != cudaMemcpyDefault) {
        say("a copy is of kind %d, its addresses are of kind %d", direction, fits);
        return cudaErrorInvalidValue;
    }
    const bool pageable = source == Kind::PAGEABLE || target == Kind::PAGEABLE;
    if (stream->capture && pageable) {
        stream->capture->broken = true;
        return cudaErrorStreamCaptureUnsupported;
    }
    if (source == Kind::PAGEABLE) {
        auto staged = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + size);
        return push(stream, "a copy from pageable memory", [=] { memcpy(to, staged->data(), size); });
    }
    const cudaError_t error = push(stream, "a copy", [=] { memmove(to, from, size); });
    if (!error && target == Kind::PAGEABLE) complete_stream(stream);
    return error;
}
EXPORT cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind direction) {
    ENTER;
    if (capture_forbids_waiting()) return returned(cudaErrorStreamCaptureUnsupported);
    const cudaError_t error = copy(to, from, size, direction, &device().legacy);
    if (!error) complete_stream(&device().legacy);
    return returned(error);
}
EXPORT cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind direction, cudaStream_t stream) {
    ENTER;
    return returned(copy(to, from, size, direction, stream_of(stream)));
}
EXPORT cudaError_t cudaMemsetAsync(void* place, int value, size_t size, cudaStream_t handle) {
    ENTER;
    Stream* stream = stream_of(handle);
    if (!stream) return returned(cudaErrorInvalidResourceHandle);
    if (!size) return returned(cudaSuccess);
    if (!holds(place, size, Kind::DEVICE)) return returned(cudaErrorInvalidValue);
    return returned(push(stream, "a memset", [=] { memset(place, value, size); }));
}
EXPORT cudaError_t cudaMemset(void* place, int value, size_t size) { return cudaMemsetAsync(place, value, size, nullptr); }
