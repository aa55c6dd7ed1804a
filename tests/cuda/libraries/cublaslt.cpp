// cuBLASLt as far as Gearshift calls it through nvmath-python: attributes are read by number and size, and checked.
#include <cstring>

#include "blas.hpp"
#include "device.hpp"
using namespace stand_in;
using namespace blas;

enum Epilogue { DEFAULT = 1, RELU = 2, BIAS = 4, RELU_BIAS = 6, GELU_BIAS = 36, AUX = 128, RELU_AUX_BIAS = 134,
                DRELU_BGRAD = 152, BGRADA = 256 };

struct Descriptor {
    int compute, scale, flip_a = 0, flip_b = 0, epilogue = DEFAULT;
    void *bias = nullptr, *aux = nullptr;
    int64_t aux_leading = 0;
};
struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t leading;
    int count = 1;
    int64_t stride = 0;
    bool inside_a_block(const void* array) const {
        const size_t last = (count - 1) * stride + (columns - 1) * leading + rows;
        return holds(array, last * bytes(type), Kind::DEVICE);
    }
};
struct Preference {
    uint64_t workspace = 0;
    uint32_t alignments[4] = {256, 256, 256, 256};
};
// Opaque to callers: a mark, a number, and what an algorithm needs.
struct Algorithm {
    uint64_t mark, number, workspace, alignments[3], rest[2];
};
struct Proposal {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int rest[4];
};
static_assert(sizeof(Algorithm) == 64 && sizeof(Proposal) == 96, "as nvmath-python lays them out");
static const uint64_t MARK = 0x9E3779B97F4A7C15;

static std::set<void*> living;
template <class T>
static int made(void** out, T* thing) {
    living.insert(*out = thing);
    return SUCCESS;
}
template <class T>
static int destroyed(void* thing) {
    if (!living.erase(thing)) return INVALID_VALUE;
    delete (T*)thing;
    return SUCCESS;
}
static bool all_live(std::initializer_list<const void*> things) {
    for (const void* thing : things) {
        if (!living.count((void*)thing)) return false;
    }
    return true;
}
template <class T>
static int set(T& attribute, const void* value, size_t size) {
    if (size != sizeof(T)) return INVALID_VALUE;
    memcpy(&attribute, value, size);
    return SUCCESS;
}

EXPORT size_t cublasLtGetVersion() { return 120900; }
EXPORT size_t cublasLtGetCudartVersion() { return CUDART_VERSION; }
EXPORT const char* cublasLtGetStatusName(int status) {
    return status == INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_NOT_SUPPORTED";
}
EXPORT const char* cublasLtGetStatusString(int status) { return cublasLtGetStatusName(status); }
EXPORT int cublasLtCreate(void** out) {
    ENTER;
    return made(out, new int);
}
EXPORT int cublasLtDestroy(void* handle) {
    ENTER;
    return destroyed<int>(handle);
}
EXPORT int cublasLtMatmulDescCreate(void** out, int compute, int scale) {
    ENTER;
    if (scale != (compute == COMPUTE_64F ? R_64F : R_32F)) return NOT_SUPPORTED;
    return made(out, new Descriptor{compute, scale});
}
EXPORT int cublasLtMatmulDescDestroy(void* descriptor) {
    ENTER;
    return destroyed<Descriptor>(descriptor);
}
EXPORT int cublasLtMatmulDescSetAttribute(void* handle, int attribute, const void* value, size_t size) {
    ENTER;
    if (!all_live({handle})) return INVALID_VALUE;
    Descriptor& descriptor = *(Descriptor*)handle;
    switch (attribute) {
        case 3: return set(descriptor.flip_a, value, size);
        case 4: return set(descriptor.flip_b, value, size);
        case 7: return set(descriptor.epilogue, value, size);
        case 8: return set(descriptor.bias, value, size);
        case 11: return set(descriptor.aux, value, size);
        case 12: return set(descriptor.aux_leading, value, size);
    }
    say("attribute %d of a product is not known to the stand-in", attribute);
    return INVALID_VALUE;
}
EXPORT int cublasLtMatrixLayoutCreate(void** out, int type, uint64_t rows, uint64_t columns, int64_t leading) {
    ENTER;
    if (!rows || !columns || leading < (int64_t)rows) return INVALID_VALUE;
    return made(out, new Layout{type, rows, columns, leading});
}
EXPORT int cublasLtMatrixLayoutDestroy(void* layout) {
    ENTER;
    return destroyed<Layout>(layout);
}
EXPORT int cublasLtMatrixLayoutSetAttribute(void* handle, int attribute, const void* value, size_t size) {
    ENTER;
    if (!all_live({handle})) return INVALID_VALUE;
    if (attribute == 5) return set(((Layout*)handle)->count, value, size);
    if (attribute == 6) return set(((Layout*)handle)->stride, value, size);
    say("attribute %d of a layout is not known to the stand-in", attribute);
    return INVALID_VALUE;
}
EXPORT int cublasLtMatmulPreferenceCreate(void** out) {
    ENTER;
    return made(out, new Preference);
}
EXPORT int cublasLtMatmulPreferenceDestroy(void* preference) {
    ENTER;
    return destroyed<Preference>(preference);
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(void* handle, int attribute, const void* value, size_t size) {
    ENTER;
    if (!all_live({handle})) return INVALID_VALUE;
    Preference& preference = *(Preference*)handle;
    if (attribute == 1) return set(preference.workspace, value, size);
    if (attribute >= 5 && attribute <= 8) return set(preference.alignments[attribute - 5], value, size);
    say("attribute %d of a preference is not known to the stand-in", attribute);
    return INVALID_VALUE;
}

// Whether shapes and types fit, by the tables in cuBLASLt's documentation.
static int fits(const Descriptor& d, const Layout& a, const Layout& b, const Layout& c, const Layout& out) {
    const uint64_t m = d.flip_a ? a.columns : a.rows, k = d.flip_a ? a.rows : a.columns;
    const uint64_t n = d.flip_b ? b.rows : b.columns, inner = d.flip_b ? b.columns : b.rows;
    if (k != inner || out.rows != m || out.columns != n || c.rows != m || c.columns != n) return INVALID_VALUE;
    if (a.count != b.count || a.count != out.count || c.type != out.type) return INVALID_VALUE;
    if (a.type != b.type || (a.type == R_64F) != (d.compute == COMPUTE_64F)) return NOT_SUPPORTED;
    if (out.type != a.type && !(out.type == R_32F && bytes(a.type) == 2)) return NOT_SUPPORTED;
    if (d.compute == COMPUTE_32F_FAST_TF32 && a.type != R_32F) return NOT_SUPPORTED;
    if (d.epilogue != DEFAULT && d.compute == COMPUTE_64F) return NOT_SUPPORTED;
    if (d.epilogue != DEFAULT && d.epilogue != RELU && !d.bias) return INVALID_VALUE;
    if ((d.epilogue & AUX) && (!d.aux || d.aux_leading % 128 || d.aux_leading < (int64_t)m)) return INVALID_VALUE;
    return SUCCESS;
}
EXPORT int cublasLtMatmulAlgoGetHeuristic(void* handle, void* d, void* a, void* b, void* c, void* out, void* wishes,
                                          int most, Proposal* found, int* count) {
    ENTER;
    *count = 0;
    if (!all_live({handle, d, a, b, c, out, wishes})) return INVALID_VALUE;
    if (int status = fits(*(Descriptor*)d, *(Layout*)a, *(Layout*)b, *(Layout*)c, *(Layout*)out)) return status;
    const Preference& preference = *(Preference*)wishes;
    for (; *count < most && *count < 3; ++*count) {
        const uint64_t workspace = *count * 1024;
        if (workspace > preference.workspace) break;
        const uint32_t* aligned = preference.alignments;
        found[*count] = {{MARK, (uint64_t)*count, workspace, {aligned[0], aligned[1], aligned[3]}, {}}, workspace, 0, 1, {}};
    }
    return *count ? SUCCESS : NOT_SUPPORTED;
}
EXPORT int cublasLtMatmulAlgoCheck(void* handle, void* d, void* a, void* b, void* c, void* out, const Algorithm* algorithm,
                                   Proposal* result) {
    ENTER;
    if (!all_live({handle, d, a, b, c, out})) return INVALID_VALUE;
    if (algorithm->mark != MARK || algorithm->number > 2) return INVALID_VALUE;
    *result = {*algorithm, algorithm->workspace, 0, 1, {}};
    return fits(*(Descriptor*)d, *(Layout*)a, *(Layout*)b, *(Layout*)c, *(Layout*)out);
}

static double gelu(double v) { return v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))) / 2; }

// One product of a stack, with its epilogue. `mask` has a bit for each element: whether it was above 0.
static void multiply(const Descriptor& d, double alpha, const Operand& a, const Operand& b, void* out, const Layout& shape,
                     size_t k) {
    const size_t m = shape.rows, n = shape.columns, row = d.aux_leading / 8;
    std::vector<double> sums = product(m, n, k, a, b), totals(m, 0.0);
    uint8_t* mask = (uint8_t*)d.aux;
    for (size_t j = 0; j < n; ++j) {
        for (size_t i = 0; i < m; ++i) {
            double value = alpha * sums[i + j * m];
            if (d.epilogue & BIAS) value += load(d.bias, i, shape.type);
            const uint8_t bit = 1 << i % 8;
            if (d.epilogue == GELU_BIAS) value = gelu(value);
            if (d.epilogue == DRELU_BGRAD && !(mask[j * row + i / 8] & bit)) value = 0;
            if (d.epilogue == RELU_AUX_BIAS) {
                uint8_t& byte = mask[j * row + i / 8];
                byte = value > 0 ? byte | bit : byte & ~bit;
            }
            if (d.epilogue == RELU || d.epilogue == RELU_BIAS || d.epilogue == RELU_AUX_BIAS) {
                value = value > 0 || std::isnan(value) ? value : 0;
            }
            totals[i] += value;
            store(out, i + j * shape.leading, shape.type, value);
        }
    }
    if (d.epilogue == BGRADA) {
        for (size_t i = 0; i < m; ++i) {
            totals[i] = 0;
            for (size_t l = 0; l < k; ++l) totals[i] += a.at(i, l);
        }
    }
    if (d.epilogue != DRELU_BGRAD && d.epilogue != BGRADA) return;
    for (size_t i = 0; i < m; ++i) store(d.bias, i, shape.type, totals[i]);
}

EXPORT int cublasLtMatmul(void* handle, void* descriptor, const void* alpha, const void* a, void* layout_a, const void* b,
                          void* layout_b, const void* beta, const void*, void* layout_c, void* out, void* layout_out,
                          const Algorithm* algorithm, void* workspace, size_t room, void* on) {
    ENTER;
    if (!all_live({handle, descriptor, layout_a, layout_b, layout_c, layout_out})) return INVALID_VALUE;
    const Descriptor d = *(Descriptor*)descriptor;
    const Layout A = *(Layout*)layout_a, B = *(Layout*)layout_b, O = *(Layout*)layout_out;
    if (int status = fits(d, A, B, *(Layout*)layout_c, O)) return status;
    if (algorithm->mark != MARK || algorithm->workspace > room) return INVALID_VALUE;
    if (room && ((uintptr_t)workspace % 256 || !holds(workspace, room, Kind::DEVICE))) return INVALID_VALUE;
    if (!A.inside_a_block(a) || !B.inside_a_block(b) || !O.inside_a_block(out)) {
        say("an operand of cublasLtMatmul does not lie in one block of device memory");
        return INVALID_VALUE;
    }
    const void* arrays[] = {a, b, out};
    for (int i = 0; i < 3; ++i) {
        if ((uintptr_t)arrays[i] % algorithm->alignments[i] == 0) continue;
        say("operand %d of cublasLtMatmul is not aligned as its algorithm was promised", i);
        return INVALID_VALUE;
    }
    Stream* stream = stream_of(on);
    const double factor = load(alpha, 0, d.scale);
    if (!stream || load(beta, 0, d.scale) != 0) return stream ? NOT_SUPPORTED : EXECUTION_FAILED;
    const std::string name = "cublasLtMatmul, epilogue " + std::to_string(d.epilogue);
    ++device().launches[name];
    return push(stream, name, [=] {
        const bool tf32 = d.compute == COMPUTE_32F_FAST_TF32;
        for (int i = 0; i < O.count; ++i) {
            const auto place = [i](const void* array, const Layout& of) {
                return (char*)array + i * of.stride * (int64_t)bytes(of.type);
            };
            multiply(d, factor, {place(a, A), A.type, (size_t)A.leading, d.flip_a != 0, tf32},
                     {place(b, B), B.type, (size_t)B.leading, d.flip_b != 0, tf32}, place(out, O), O,
                     d.flip_a ? A.rows : A.columns);
        }
    }) ? EXECUTION_FAILED : SUCCESS;
}
