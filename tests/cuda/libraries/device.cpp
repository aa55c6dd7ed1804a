// Queues, captures, and the faults of kernels.
#include "device.hpp"

#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <chrono>

namespace stand_in {

static size_t setting(const char* name, size_t otherwise) {
    const char* text = getenv(name);
    return text ? strtoull(text, nullptr, 0) : otherwise;
}

// Devices that are visible: CUDA ignores what follows a number that the machine does not have.
static std::vector<int> visible(int all) {
    std::vector<int> found;
    const char* text = getenv("CUDA_VISIBLE_DEVICES");
    if (!text) {
        for (int number = 0; number < all; ++number) found.push_back(number);
        return found;
    }
    for (char* end = nullptr; *text; text = *end ? end + 1 : end) {
        const long number = strtol(text, &end, 10);
        if (end == text || number < 0 || number >= all) break;
        found.push_back((int)number);
    }
    return found;
}

Device& device() {
    static Device* the = [] {
        Device* made = new Device;
        made->total = setting("STAND_IN_BYTES", size_t(1) << 30);
        made->most_pinned = setting("STAND_IN_PINNED", size_t(1) << 30);
        const std::vector<int> devices = visible((int)setting("STAND_IN_DEVICES", 1));
        made->count = (int)devices.size();
        made->number = devices.empty() ? 0 : devices[0];
        made->driver = (int)setting("STAND_IN_DRIVER", CUDART_VERSION);
        made->used = size_t(1) << 20;  // CUDA's own
        return made;
    }();
    return *the;
}

Entered::Entered(const char* name) {
    device().lock.lock();
    ++device().calls[name];
}

void say(const char* format, ...) {
    va_list values;
    va_start(values, format);
    fputs("stand-in for CUDA: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// ---- faults: a kernel that touches what it must not ends, and the device is lost, as after CUDA's error 700

static thread_local sigjmp_buf escape;
static thread_local volatile bool running = false;

// Catches the faults of kernels while it lives.
struct Faults {
    static constexpr int NUMBERS[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP};
    static inline struct sigaction before[NSIG];

    Faults() {
        struct sigaction action = {};
        action.sa_sigaction = caught;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        for (int number : NUMBERS) sigaction(number, &action, &before[number]);
    }
    ~Faults() {
        for (int number : NUMBERS) sigaction(number, &before[number], nullptr);
    }
    static void caught(int number, siginfo_t* info, void*) {
        if (!running) {  // a fault of the host: as without this handler
            sigaction(number, &before[number], nullptr);
            return;
        }
        const bool memory = number == SIGSEGV || number == SIGBUS;
        if (memory && open_at(info->si_addr)) return;
        running = false;
        say("%s at %p", memory ? "illegal memory access" : "misaligned access", info->si_addr);
        device().lost = memory ? cudaErrorIllegalAddress : cudaErrorMisalignedAddress;
        siglongjmp(escape, 1);
    }
};

// Runs one piece of work; nothing runs once the device is lost.
static void run(const std::string& name, const Work& work) {
    if (device().lost != cudaSuccess) return;
    if (sigsetjmp(escape, 1)) {
        say("it was %s", name.c_str());
        return;
    }
    running = true;
    work();
    running = false;
}

// ---- queues

// Runs work and all that it comes after, without recursion because chains are long.
void complete(QueuedPointer work) {
    if (!work || work->done) return;
    Opened opened;
    Faults faults;
    std::vector<QueuedPointer> stack{work};
    while (!stack.empty()) {
        QueuedPointer top = stack.back();
        while (!top->after.empty() && top->after.back()->done) top->after.pop_back();
        if (!top->after.empty()) {
            stack.push_back(top->after.back());
            continue;
        }
        stack.pop_back();
        if (top->done) continue;
        top->done = true;
        stand_in::run(top->name, top->run);
        top->run = nullptr;
    }
}

void complete_stream(Stream* stream) {
    complete(stream->last);
    if (stream != &device().legacy) return;
    for (Stream* other : device().streams) {
        if (other->blocking()) complete(other->last);
    }
}

void complete_everything() {
    complete(device().legacy.last);
    for (Stream* stream : device().streams) complete(stream->last);
}

Stream* stream_of(const void* handle) {
    if (handle == nullptr || handle == cudaStreamLegacy) return &device().legacy;
    Stream* stream = (Stream*)handle;
    return device().streams.count(stream) ? stream : nullptr;
}

Event* event_of(const void* handle) { return device().events.count((Event*)handle) ? (Event*)handle : nullptr; }

bool capture_forbids_waiting() {
    for (Stream* stream : device().streams) {
        Capture* capture = stream->capture.get();
        if (!capture || capture->mode == cudaStreamCaptureModeRelaxed) continue;
        if (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread != std::this_thread::get_id()) continue;
        capture->broken = true;
        return true;
    }
    return false;
}

// Appends work to a stream or, while it is capturing, to its graph.
cudaError_t push(Stream* stream, const std::string& name, Work run) {
    ++device().launches[stream->capture ? "captured" : "queued"];
    if (stream->capture) {
        if (stream->capture->broken) return cudaErrorStreamCaptureInvalidated;
        stream->capture->graph->nodes.emplace_back(name, std::move(run));
        return cudaSuccess;
    }
    auto work = std::make_shared<Queued>();
    work->name = name;
    work->run = std::move(run);
    const auto follow = [&](const Stream& other) {
        if (other.last && !other.last->done) work->after.push_back(other.last);
    };
    follow(*stream);
    if (stream == &device().legacy) {  // it and the blocking streams wait for each other
        for (Stream* other : device().streams) {
            if (!other->blocking()) continue;
            if (other->capture) {
                other->capture->broken = true;
                return cudaErrorStreamCaptureImplicit;
            }
            follow(*other);
        }
    } else if (stream->blocking()) {
        follow(device().legacy);
    }
    stream->last = work;
    return cudaSuccess;
}

}  // namespace stand_in

using namespace stand_in;

// For Python: access to device memory, and what was counted as lines of a name and a number.
EXPORT void stand_in_open() { open_all(); }
EXPORT void stand_in_close() { close_memory(); }

EXPORT size_t stand_in_counts(char* text, size_t room) {
    std::lock_guard<std::recursive_mutex> guard(device().lock);
    std::string all;
    for (auto* counts : {&device().calls, &device().launches}) {
        for (auto& [name, count] : *counts) all += name + " " + std::to_string(count) + "\n";
    }
    if (all.size() < room) memcpy(text, all.c_str(), all.size() + 1);
    return all.size() + 1;
}

// Functions of the runtime that the stand-in does not have.
EXPORT cudaError_t stand_in_absent(const char* name) {
    say("%s is not part of it", name);
    return cudaErrorNotSupported;
}
