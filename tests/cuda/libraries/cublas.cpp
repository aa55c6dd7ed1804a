// cuBLAS as far as CuPy's matmul calls it.
#include "blas.hpp"
#include "device.hpp"
using namespace stand_in;
using namespace blas;

struct Handle {
    void* stream = nullptr;
    int pointers = 0, math = 0;  // alpha and beta: 0 on the host
};
EXPORT int cublasCreate_v2(void** made) {
    ENTER;
    *made = new Handle;
    return SUCCESS;
}
EXPORT int cublasDestroy_v2(void* handle) {
    delete (Handle*)handle;
    return SUCCESS;
}
EXPORT int cublasGetVersion_v2(void*, int* version) {
    *version = 120900;
    return SUCCESS;
}
EXPORT int cublasSetStream_v2(void* handle, void* stream) {
    ((Handle*)handle)->stream = stream;
    return SUCCESS;
}
EXPORT int cublasGetStream_v2(void* handle, void** stream) {
    *stream = ((Handle*)handle)->stream;
    return SUCCESS;
}
EXPORT int cublasSetPointerMode_v2(void* handle, int mode) {
    ((Handle*)handle)->pointers = mode;
    return SUCCESS;
}
EXPORT int cublasGetPointerMode_v2(void* handle, int* mode) {
    *mode = ((Handle*)handle)->pointers;
    return SUCCESS;
}
EXPORT int cublasSetMathMode(void* handle, int mode) {
    ((Handle*)handle)->math = mode;
    return SUCCESS;
}
EXPORT int cublasGetMathMode(void* handle, int* mode) {
    *mode = ((Handle*)handle)->math;
    return SUCCESS;
}

struct Stack {  // of matrices
    const void* array;
    int type;
    long leading;
    long long stride;
    const char* of(int number) const { return (const char*)array + number * stride * (long long)bytes(type); }
};

static int gemm(void* given, int flip_a, int flip_b, int m, int n, int k, const void* alpha, Stack a, Stack b,
                const void* beta, Stack c, int scale, int count = 1, bool tf32 = false) {
    Handle* handle = (Handle*)given;
    Stream* stream = stream_of(handle->stream);
    if (!stream) return EXECUTION_FAILED;
    if (c.leading < m || a.leading < (flip_a ? k : m) || b.leading < (flip_b ? n : k)) return INVALID_VALUE;
    for (const Stack& one : {a, b, c}) {
        if (kind_of(one.array) != Kind::DEVICE) return INVALID_VALUE;
    }
    const bool there = handle->pointers != 0;
    if (there && (kind_of(alpha) != Kind::DEVICE || kind_of(beta) != Kind::DEVICE)) return INVALID_VALUE;
    const double x = there ? 0 : load(alpha, 0, scale), y = there ? 0 : load(beta, 0, scale);
    return push(stream, "cublas gemm", [=] {
        const double factor = there ? load(alpha, 0, scale) : x, old = there ? load(beta, 0, scale) : y;
        for (int number = 0; number < count; ++number) {
            const auto sums = product(m, n, k, {a.of(number), a.type, (size_t)a.leading, flip_a != 0, tf32},
                                      {b.of(number), b.type, (size_t)b.leading, flip_b != 0, tf32});
            void* out = (void*)c.of(number);
            for (int j = 0; j < n; ++j) {
                for (int i = 0; i < m; ++i) {
                    const size_t place = i + size_t(j) * c.leading;
                    const double before = old != 0 ? old * load(out, place, c.type) : 0;  // beta of 0 reads nothing
                    store(out, place, c.type, factor * sums[i + size_t(j) * m] + before);
                }
            }
        }
    }) ? EXECUTION_FAILED : SUCCESS;
}

EXPORT int cublasSgemm_v2(void* h, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda,
                          const float* b, int ldb, const float* beta, float* c, int ldc) {
    ENTER;
    return gemm(h, ta, tb, m, n, k, alpha, {a, R_32F, lda, 0}, {b, R_32F, ldb, 0}, beta, {c, R_32F, ldc, 0}, R_32F);
}
EXPORT int cublasDgemm_v2(void* h, int ta, int tb, int m, int n, int k, const double* alpha, const double* a, int lda,
                          const double* b, int ldb, const double* beta, double* c, int ldc) {
    ENTER;
    return gemm(h, ta, tb, m, n, k, alpha, {a, R_64F, lda, 0}, {b, R_64F, ldb, 0}, beta, {c, R_64F, ldc, 0}, R_64F);
}
EXPORT int cublasSgemmEx(void* h, int ta, int tb, int m, int n, int k, const float* alpha, const void* a, int type_a,
                         int lda, const void* b, int type_b, int ldb, const float* beta, void* c, int type_c, int ldc) {
    ENTER;
    return gemm(h, ta, tb, m, n, k, alpha, {a, type_a, lda, 0}, {b, type_b, ldb, 0}, beta, {c, type_c, ldc, 0}, R_32F);
}
EXPORT int cublasGemmEx(void* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int type_a,
                        int lda, const void* b, int type_b, int ldb, const void* beta, void* c, int type_c, int ldc,
                        int compute, int) {
    ENTER;
    return gemm(h, ta, tb, m, n, k, alpha, {a, type_a, lda, 0}, {b, type_b, ldb, 0}, beta, {c, type_c, ldc, 0},
                compute == COMPUTE_64F ? R_64F : R_32F, 1, compute == COMPUTE_32F_FAST_TF32);
}
EXPORT int cublasGemmStridedBatchedEx(void* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a,
                                      int type_a, int lda, long long step_a, const void* b, int type_b, int ldb,
                                      long long step_b, const void* beta, void* c, int type_c, int ldc,
                                      long long step_c, int count, int compute, int) {
    ENTER;
    return gemm(h, ta, tb, m, n, k, alpha, {a, type_a, lda, step_a}, {b, type_b, ldb, step_b}, beta,
                {c, type_c, ldc, step_c}, compute == COMPUTE_64F ? R_64F : R_32F, count,
                compute == COMPUTE_32F_FAST_TF32);
}
