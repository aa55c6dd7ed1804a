// A CUDA device in host memory: blocks of memory, streams, events and captured graphs.
//
// It is as late as CUDA allows and as strict as CUDA documents. Work is queued, and runs only when somebody waits for it.
// Device memory can be touched only while work runs; at all other times its pages are protected.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace stand_in {

using Work = std::function<void()>;

// Work in a queue, with the work that must be done before it.
struct Queued {
    std::string name;
    Work run;
    std::vector<std::shared_ptr<Queued>> after;
    bool done = false;
};
using QueuedPointer = std::shared_ptr<Queued>;

struct Graph {
    std::vector<std::pair<std::string, Work>> nodes;
};

struct Capture {
    Graph* graph;
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    bool broken = false;
};

struct Stream {
    unsigned flags = 0;
    int priority = 0;
    QueuedPointer last;
    std::unique_ptr<Capture> capture;
    bool blocking() const { return !(flags & cudaStreamNonBlocking); }
};

struct Event {
    unsigned flags = 0;
    bool recorded = false;
    QueuedPointer work;             // of the latest record outside of captures
    const Graph* inside = nullptr;  // the graph in whose capture it was recorded last
    std::shared_ptr<double> time;   // seconds, once the record was reached
};

enum class Kind { PAGEABLE, PINNED, DEVICE };

struct Block {
    size_t size, mapped;  // asked for, and mapped from `pages`
    uintptr_t pages;
    Kind kind;
    bool open = false;  // whether it can be touched
};

struct Device {
    std::recursive_mutex lock;
    Stream legacy;  // the default stream
    std::set<Stream*> streams;
    std::set<Event*> events;
    std::set<Graph*> graphs, launchable;
    std::map<uintptr_t, Block> blocks;
    size_t total, used = 0, pinned = 0, most_pinned;
    int count, number, driver;      // devices that are visible, and which of the machine's is used; the driver's CUDA
    cudaError_t lost = cudaSuccess; // after a fault of a kernel every call returns it
    std::map<std::string, long> calls, launches;
};

Device& device();

// What every function of the API does first: it takes the lock and counts the call.
struct Entered {
    explicit Entered(const char* name);
    ~Entered() { device().lock.unlock(); }
};

// Between the first two, which may be nested, running work may touch device memory: its fault opens the block. `open_all`
// stands for the first and opens every block at once.
void open_memory();
void close_memory();
void open_all();
bool open_at(const void* address);  // false if no block is there that was closed
struct Opened {
    Opened() { open_memory(); }
    ~Opened() { close_memory(); }
};

cudaError_t returned(cudaError_t error);  // what a function of the runtime returns: that of a lost device comes first
void say(const char* format, ...);  // why a call was refused, on stderr
double now();

uintptr_t allocate(size_t size, Kind kind);  // 0 if there is no room
bool release(void* place, Kind kind);        // false if no such block lives there
const Block* find(const void* place, size_t* left = nullptr);
Kind kind_of(const void* place);
bool holds(const void* place, size_t size, Kind kind);  // whether one living block contains the range

Stream* stream_of(const void* handle);  // null if there is no such stream
Event* event_of(const void* handle);
cudaError_t push(Stream* stream, const std::string& name, Work run);
void complete(QueuedPointer work);
void complete_stream(Stream* stream);
void complete_everything();
bool capture_forbids_waiting();  // a call that may wait breaks such a capture
}  // namespace stand_in

#define EXPORT extern "C" __attribute__((visibility("default")))
#define ENTER stand_in::Entered entered(__func__)
