// NCCL as far as CuPy calls it for an all-reduce and a broadcast between processes of this machine.
//
// Ranks meet in a file in memory whose name is the communicator's id. A call is queued on its stream as a kernel is, and
// runs when somebody waits for the stream. The real NCCL hangs, or mixes numbers up, if ranks call it differently; here
// the device is lost, with the calls that differ.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>

#include "device.hpp"
using namespace stand_in;

enum Status { SUCCESS = 0, CUDA_ERROR = 1, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5 };
enum : size_t { RANKS = 16, PIECE = size_t(1) << 18, LONGEST = 120 };  // bytes that travel at once; seconds of a wait
enum { FLOAT32 = 7, FLOAT64 = 8, SUM = 0, ALL_REDUCE = 1, BROADCAST = 2 };

struct Id {
    char text[128];
};

struct Call {
    int kind, dtype, operation;  // of a broadcast, the root
    size_t count;
    bool operator==(const Call& other) const {
        return kind == other.kind && dtype == other.dtype && operation == other.operation && count == other.count;
    }
};

struct Meeting {  // zeros are its initial state
    std::atomic<int> arrived, generation;
    char gpus[RANKS][32];
    Call calls[RANKS];
    alignas(64) char data[RANKS][PIECE];
};

struct Communicator {
    Meeting* meeting;
    int size, rank;
};
static std::set<Communicator*> communicators;

// Waits for all ranks; false if some do not come.
static bool met(Communicator* of) {
    Meeting* meeting = of->meeting;
    const int generation = meeting->generation.load();
    if (meeting->arrived.fetch_add(1) + 1 == of->size) {
        meeting->arrived = 0;
        meeting->generation.fetch_add(1);
        return true;
    }
    const double end = now() + LONGEST;
    for (int turn = 0; meeting->generation.load() == generation; ++turn) {
        if (turn > 100) usleep(20);
        if (now() > end) return false;
    }
    return true;
}

static size_t bytes_of(int dtype) { return dtype == FLOAT32 ? 4 : dtype == FLOAT64 ? 8 : 0; }

template <class T>
static void add(Meeting* meeting, int size, T* out, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        T sum = 0;
        for (int rank = 0; rank < size; ++rank) sum += ((const T*)meeting->data[rank])[i];
        out[i] = sum;
    }
}

static void lose(const char* why) {
    say("NCCL: %s", why);
    device().lost = cudaErrorLaunchFailure;
}

static void run(Communicator* of, const Call& call, const char* from, char* to) {
    Meeting* meeting = of->meeting;
    meeting->calls[of->rank] = call;
    if (!met(of)) return lose("a rank does not come");
    for (int rank = 0; rank < of->size; ++rank) {
        const Call& other = meeting->calls[rank];
        if (other == call) continue;
        say("NCCL: rank %d calls %d of %zu numbers of type %d, rank %d calls %d of %zu of type %d", of->rank, call.kind,
            call.count, call.dtype, rank, other.kind, other.count, other.dtype);
        return lose("the ranks' calls differ");
    }
    const size_t item = bytes_of(call.dtype), total = call.count * item;
    for (size_t start = 0; start < total; start += PIECE) {
        const size_t size = std::min<size_t>(PIECE, total - start);
        memcpy(meeting->data[of->rank], from + start, size);
        if (!met(of)) return lose("a rank is gone");
        if (call.kind == BROADCAST) memcpy(to + start, meeting->data[call.operation], size);
        else if (call.dtype == FLOAT32) add(meeting, of->size, (float*)(to + start), size / item);
        else add(meeting, of->size, (double*)(to + start), size / item);
        if (!met(of)) return lose("a rank is gone");
    }
    if (!met(of)) return lose("a rank is gone");  // the calls may now be overwritten
    ++device().launches["NCCL " + std::string(call.kind == BROADCAST ? "broadcast" : "all-reduce") + ", size " +
                        std::to_string(call.count)];
}

static Status queued(Communicator* of, const Call& call, const void* from, void* to, cudaStream_t handle) {
    Stream* stream = stream_of(handle);
    if (!communicators.count(of) || !stream || !bytes_of(call.dtype) || (call.kind == ALL_REDUCE && call.operation != SUM)) {
        say("NCCL: a communicator, a stream, a type or an operation that it does not know");
        return INVALID_ARGUMENT;
    }
    const size_t size = call.count * bytes_of(call.dtype);
    for (const void* place : {from, (const void*)to}) {
        if (!size || (find(place) && holds(place, size, Kind::DEVICE))) continue;
        say("NCCL: %zu bytes at %p are not memory of the device", size, place);
        return INVALID_ARGUMENT;
    }
    for (Stream* other : device().streams) {
        if (!other->capture || other == stream) continue;
        say("NCCL: a call on another stream than the one that captures");
        return INVALID_USAGE;
    }
    const auto work = [=] { run(of, call, (const char*)from, (char*)to); };
    return push(stream, "a call of NCCL", work) == cudaSuccess ? SUCCESS : CUDA_ERROR;
}

EXPORT const char* ncclGetErrorString(int status) {
    return status == SUCCESS        ? "no error"
           : status == CUDA_ERROR   ? "unhandled cuda error"
           : status == SYSTEM_ERROR ? "unhandled system error"
           : status == INVALID_USAGE ? "invalid usage"
                                     : "invalid argument";
}
EXPORT int ncclGetVersion(int* version) {
    *version = 22501;
    return SUCCESS;
}
EXPORT int ncclGetUniqueId(Id* made) {
    ENTER;
    unsigned char bytes[16];
    FILE* random = fopen("/dev/urandom", "rb");
    const bool read = random && fread(bytes, sizeof bytes, 1, random) == 1;
    if (random) fclose(random);
    memset(made, 0, sizeof *made);
    for (int i = 0; i < 16; ++i) snprintf(made->text + 2 * i, 3, "%02x", bytes[i]);
    return read ? SUCCESS : SYSTEM_ERROR;
}
EXPORT int ncclCommInitRank(Communicator** made, int size, Id id, int rank) {
    ENTER;
    if (size < 1 || size > (int)RANKS || rank < 0 || rank >= size) return INVALID_ARGUMENT;
    const std::string path = "/dev/shm/stand-in-nccl-" + std::string(id.text, 32);
    const int file = open(path.c_str(), O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, sizeof(Meeting))) return SYSTEM_ERROR;
    void* place = mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (place == MAP_FAILED) return SYSTEM_ERROR;
    Communicator* of = new Communicator{(Meeting*)place, size, rank};
    cudaDeviceGetPCIBusId(of->meeting->gpus[rank], sizeof of->meeting->gpus[rank], 0);
    const bool all = met(of);
    unlink(path.c_str());
    if (!all) return SYSTEM_ERROR;
    for (int other = 0; other < size; ++other) {
        if (other == rank || strcmp(of->meeting->gpus[other], of->meeting->gpus[rank])) continue;
        say("NCCL: ranks %d and %d are both on the device %s", rank, other, of->meeting->gpus[rank]);
        return INVALID_USAGE;
    }
    communicators.insert(of);
    *made = of;
    return SUCCESS;
}
EXPORT int ncclCommInitRankConfig(Communicator** made, int size, Id id, int rank, void*) {
    return ncclCommInitRank(made, size, id, rank);
}
static int closed(Communicator* of) {
    if (!communicators.erase(of)) return INVALID_ARGUMENT;
    munmap(of->meeting, sizeof(Meeting));
    delete of;
    return SUCCESS;
}
EXPORT int ncclCommDestroy(Communicator* of) {
    ENTER;
    complete_everything();
    return closed(of);
}
EXPORT int ncclCommAbort(Communicator* of) {
    ENTER;
    return closed(of);
}
EXPORT int ncclAllReduce(const void* from, void* to, size_t count, int dtype, int operation, Communicator* of,
                         cudaStream_t stream) {
    ENTER;
    return queued(of, {ALL_REDUCE, dtype, operation, count}, from, to, stream);
}
EXPORT int ncclBroadcast(const void* from, void* to, size_t count, int dtype, int root, Communicator* of,
                         cudaStream_t stream) {
    ENTER;
    return queued(of, {BROADCAST, dtype, root, count}, from, to, stream);
}
EXPORT int ncclBcast(void* place, size_t count, int dtype, int root, Communicator* of, cudaStream_t stream) {
    return ncclBroadcast(place, place, count, dtype, root, of, stream);
}
