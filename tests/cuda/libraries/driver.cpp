// The CUDA driver as far as CuPy calls it, and NVRTC. A module is a shared library that Python has compiled for the host.
#include <cuda.h>
#include <dlfcn.h>

#include <cstring>

#include "device.hpp"
using namespace stand_in;

using Compile = int (*)(const char* source, const char* options, char* answer, size_t room);
static Compile compile = nullptr;
EXPORT void stand_in_set_compiler(Compile given) { compile = given; }

struct Module {
    void* library;
};
struct Function {
    std::string name;
    const size_t* sizes;  // of the arguments, 0 at the end
    int (*run)(void** arguments, const unsigned* grid, const unsigned* block);
    unsigned dynamic = 49152;  // the most dynamic shared memory
};
static std::set<Function*> functions;
static const std::string MAGIC = "a kernel for the host: ";

EXPORT CUresult cuInit(unsigned) { return device().driver ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE; }
EXPORT CUresult cuDriverGetVersion(int* version) {
    *version = device().driver;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuGetErrorString(CUresult error, const char** text) {
    *text = cudaGetErrorString((cudaError_t)error);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuGetErrorName(CUresult error, const char** text) {
    if (error == CUDA_ERROR_OUT_OF_MEMORY) *text = "CUDA_ERROR_OUT_OF_MEMORY";
    else if (error == CUDA_ERROR_INVALID_IMAGE) *text = "CUDA_ERROR_INVALID_IMAGE";
    else if (error == CUDA_ERROR_NOT_FOUND) *text = "CUDA_ERROR_NOT_FOUND";
    else *text = cudaGetErrorName((cudaError_t)error);
    return CUDA_SUCCESS;
}
static int context;
EXPORT CUresult cuCtxGetCurrent(CUcontext* current) {
    *current = (CUcontext)&context;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }
EXPORT CUresult cuCtxGetDevice(CUdevice* number) {
    *number = 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuModuleLoadData(CUmodule* made, const void* image) {
    ENTER;
    const std::string text((const char*)image);
    if (text.compare(0, MAGIC.size(), MAGIC)) return CUDA_ERROR_INVALID_IMAGE;
    // code takes memory on the device as well, next to nothing
    if (device().used + 4096 > device().total) return CUDA_ERROR_OUT_OF_MEMORY;
    void* library = dlopen(text.c_str() + MAGIC.size(), RTLD_NOW | RTLD_LOCAL);
    if (!library) say("%s", dlerror());
    if (library) *made = (CUmodule) new Module{library};
    return library ? CUDA_SUCCESS : CUDA_ERROR_INVALID_IMAGE;
}
EXPORT CUresult cuModuleUnload(CUmodule module) {
    ENTER;
    delete (Module*)module;  // its library stays, for graphs may hold its kernels
    return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleGetFunction(CUfunction* made, CUmodule module, const char* name) {
    ENTER;
    const std::string text(name);
    void* library = ((Module*)module)->library;
    auto run = (decltype(Function::run))dlsym(library, ("run_" + text).c_str());
    auto sizes = (const size_t* (*)())dlsym(library, ("sizes_" + text).c_str());
    if (!run || !sizes) return CUDA_ERROR_NOT_FOUND;
    Function* function = new Function{text, sizes(), run};
    functions.insert(function);
    *made = (CUfunction)function;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
    *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK              ? 1024
             : attribute == CU_FUNC_ATTRIBUTE_NUM_REGS                         ? 32
             : attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ? (int)((Function*)function)->dynamic
                                                                               : 0;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) ((Function*)function)->dynamic = value;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int threads, size_t) {
    *blocks = 2048 / threads;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction, CUoccupancyB2DSize, size_t, int) {
    *grid = 8;
    *block = 256;
    return CUDA_SUCCESS;
}

// Pointers among the arguments are not known as such; what they point at is checked when the kernel touches it.
EXPORT CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                               unsigned block_y, unsigned block_z, unsigned shared, CUstream on, void** arguments, void**) {
    ENTER;
    Function* function = (Function*)handle;
    Stream* stream = stream_of(on);
    if (!functions.count(function) || !stream) return CUDA_ERROR_INVALID_HANDLE;
    const unsigned long long threads = 1ull * block_x * block_y * block_z;
    const bool fits = grid_x && grid_y && grid_z && threads && grid_x <= 2147483647u && grid_y <= 65535 &&
                      grid_z <= 65535 && threads <= 1024 && block_z <= 64 && shared <= function->dynamic;
    if (!fits) {
        say("%s has a grid of %u x %u x %u, blocks of %u x %u x %u and %u bytes of shared memory", function->name.c_str(),
            grid_x, grid_y, grid_z, block_x, block_y, block_z, shared);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (device().lost != cudaSuccess) return (CUresult)device().lost;
    struct Launch {  // the arguments are copied now, as the driver does
        std::vector<std::vector<char>> values;
        unsigned grid[3], block[3];
    };
    auto launch = std::make_shared<Launch>(Launch{{}, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}});
    for (size_t i = 0; function->sizes[i]; ++i) {
        launch->values.emplace_back((char*)arguments[i], (char*)arguments[i] + function->sizes[i]);
    }
    ++device().launches["kernel " + function->name];
    return (CUresult)push(stream, "kernel " + function->name, [function, launch] {
        std::vector<void*> places;
        for (auto& value : launch->values) places.push_back(value.data());
        if (!function->run(places.data(), launch->grid, launch->block)) return;
        say("%s: threads of a block wait at a barrier that others never reach", function->name.c_str());
        device().lost = cudaErrorLaunchTimeout;
    });
}

// ---- NVRTC

struct Program {
    std::string source, log, binary;
};
EXPORT const char* nvrtcGetErrorString(int error) { return error == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR"; }
EXPORT int nvrtcVersion(int* major, int* minor) {
    *major = CUDART_VERSION / 1000;
    *minor = CUDART_VERSION % 1000 / 10;
    return 0;
}
EXPORT int nvrtcGetNumSupportedArchs(int* count) {
    *count = 2;
    return 0;
}
EXPORT int nvrtcGetSupportedArchs(int* numbers) {
    numbers[0] = 80;
    numbers[1] = 90;
    return 0;
}
EXPORT int nvrtcCreateProgram(void** made, const char* source, const char*, int, const char* const*, const char* const*) {
    *made = new Program{source, "", ""};
    return 0;
}
EXPORT int nvrtcDestroyProgram(void** program) {
    delete (Program*)*program;
    *program = nullptr;
    return 0;
}
EXPORT int nvrtcCompileProgram(void* handle, int count, const char** options) {
    { ENTER; }
    Program* program = (Program*)handle;
    std::string lines, answer(1 << 16, '\0');
    for (int i = 0; i < count; ++i) lines += std::string(options[i]) + "\n";
    const int failed = compile(program->source.c_str(), lines.c_str(), &answer[0], answer.size());
    answer.resize(strlen(answer.c_str()));
    (failed ? program->log : program->binary) = failed ? answer : MAGIC + answer;
    return failed;
}
static int answer(const std::string& text, size_t* size, char* out) {
    if (size) *size = text.size() + 1;
    if (out) memcpy(out, text.c_str(), text.size() + 1);
    return 0;
}
EXPORT int nvrtcGetPTXSize(void* program, size_t* size) { return answer(((Program*)program)->binary, size, nullptr); }
EXPORT int nvrtcGetPTX(void* program, char* out) { return answer(((Program*)program)->binary, nullptr, out); }
EXPORT int nvrtcGetCUBINSize(void* program, size_t* size) { return nvrtcGetPTXSize(program, size); }
EXPORT int nvrtcGetCUBIN(void* program, char* out) { return nvrtcGetPTX(program, out); }
EXPORT int nvrtcGetProgramLogSize(void* program, size_t* size) { return answer(((Program*)program)->log, size, nullptr); }
EXPORT int nvrtcGetProgramLog(void* program, char* out) { return answer(((Program*)program)->log, nullptr, out); }
