// The CUDA runtime as far as CuPy calls it: streams, events, captures and graphs.
#include "device.hpp"
using namespace stand_in;

// A capturing stream cannot be waited for; who tries breaks the capture.
static bool breaks(Stream* stream) {
    if (stream->capture) stream->capture->broken = true;
    return (bool)stream->capture;
}

EXPORT cudaError_t cudaStreamCreateWithPriority(cudaStream_t* made, unsigned flags, int priority) {
    ENTER;
    Stream* stream = new Stream;
    stream->flags = flags;
    stream->priority = priority;
    device().streams.insert(stream);
    *made = (cudaStream_t)stream;
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t* made, unsigned flags) {
    return cudaStreamCreateWithPriority(made, flags, 0);
}
EXPORT cudaError_t cudaStreamCreate(cudaStream_t* made) { return cudaStreamCreateWithPriority(made, 0, 0); }
EXPORT cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    ENTER;
    Stream* stream = stream_of(handle);
    if (!stream || stream == &device().legacy) return returned(cudaErrorInvalidResourceHandle);
    complete(stream->last);  // CUDA lets the work end later; nothing else refers to it here
    device().streams.erase(stream);
    delete stream;
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
    ENTER;
    Stream* stream = stream_of(handle);
    if (stream) *flags = stream->flags;
    return returned(stream ? cudaSuccess : cudaErrorInvalidResourceHandle);
}
EXPORT cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
    ENTER;
    Stream* stream = stream_of(handle);
    if (stream) *priority = stream->priority;
    return returned(stream ? cudaSuccess : cudaErrorInvalidResourceHandle);
}
EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    ENTER;
    Stream* stream = stream_of(handle);
    if (!stream) return returned(cudaErrorInvalidResourceHandle);
    if (breaks(stream)) return returned(cudaErrorStreamCaptureUnsupported);
    if (stream == &device().legacy) {
        for (Stream* other : device().streams) {
            if (other->blocking() && breaks(other)) return returned(cudaErrorStreamCaptureImplicit);
        }
    }
    complete_stream(stream);
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaStreamQuery(cudaStream_t handle) {
    ENTER;
    Stream* stream = stream_of(handle);
    if (!stream) return returned(cudaErrorInvalidResourceHandle);
    if (breaks(stream)) return returned(cudaErrorStreamCaptureUnsupported);
    return returned(!stream->last || stream->last->done ? cudaSuccess : cudaErrorNotReady);
}

// ---- events

EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t* made, unsigned flags) {
    ENTER;
    Event* event = new Event;
    event->flags = flags;
    device().events.insert(event);
    *made = (cudaEvent_t)event;
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaEventCreate(cudaEvent_t* made) { return cudaEventCreateWithFlags(made, 0); }
EXPORT cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    ENTER;
    Event* event = event_of(handle);
    if (!event) return returned(cudaErrorInvalidResourceHandle);
    device().events.erase(event);
    delete event;
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t on) {
    ENTER;
    Event* event = event_of(handle);
    Stream* stream = stream_of(on);
    if (!event || !stream) return returned(cudaErrorInvalidResourceHandle);
    if (stream->capture) {
        event->inside = stream->capture->graph;
        event->work = nullptr;
        return returned(stream->capture->broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
    }
    auto time = std::make_shared<double>(0);
    const cudaError_t error = push(stream, "an event", [time] { *time = now(); });
    if (error) return returned(error);
    event->recorded = true;
    event->inside = nullptr;
    event->time = time;
    event->work = stream->last;
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    ENTER;
    Event* event = event_of(handle);
    if (!event) return returned(cudaErrorInvalidResourceHandle);
    if (event->inside) return returned(cudaErrorCapturedEvent);
    if (capture_forbids_waiting()) return returned(cudaErrorStreamCaptureUnsupported);
    complete(event->work);
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaEventQuery(cudaEvent_t handle) {
    ENTER;
    Event* event = event_of(handle);
    if (!event) return returned(cudaErrorInvalidResourceHandle);
    if (event->inside) return returned(cudaErrorCapturedEvent);
    return returned(!event->work || event->work->done ? cudaSuccess : cudaErrorNotReady);
}
EXPORT cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
    ENTER;
    Event *start = event_of(from), *end = event_of(to);
    if (!start || !end || !start->recorded || !end->recorded) return returned(cudaErrorInvalidResourceHandle);
    if ((start->flags | end->flags) & cudaEventDisableTiming) return returned(cudaErrorInvalidResourceHandle);
    if (!start->work->done || !end->work->done) return returned(cudaErrorNotReady);
    *milliseconds = float(1000 * (*end->time - *start->time));
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t what, unsigned) {
    ENTER;
    Stream* stream = stream_of(handle);
    Event* event = event_of(what);
    if (!event || !stream) return returned(cudaErrorInvalidResourceHandle);
    if (stream->capture) {
        if (!event->recorded || event->inside == stream->capture->graph) return returned(cudaSuccess);
        stream->capture->broken = true;
        return returned(cudaErrorStreamCaptureIsolation);
    }
    if (event->inside) {
        say("a stream that waits for a capture would join it: the stand-in does not do that");
        return returned(cudaErrorNotSupported);
    }
    const QueuedPointer before = event->work;
    const cudaError_t error = push(stream, "a wait for an event", [] {});
    if (!error && before && !before->done) stream->last->after.push_back(before);
    return returned(error);
}

// ---- captures and graphs

EXPORT cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    ENTER;
    Stream* stream = stream_of(handle);
    if (!stream) return returned(cudaErrorInvalidResourceHandle);
    if (stream == &device().legacy) return returned(cudaErrorStreamCaptureUnsupported);
    if (stream->capture) return returned(cudaErrorIllegalState);
    stream->capture.reset(new Capture{new Graph, mode, std::this_thread::get_id()});
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* made) {
    ENTER;
    Stream* stream = stream_of(handle);
    *made = nullptr;
    if (!stream) return returned(cudaErrorInvalidResourceHandle);
    if (!stream->capture) return returned(cudaErrorIllegalState);
    if (stream->capture->mode != cudaStreamCaptureModeRelaxed && stream->capture->thread != std::this_thread::get_id()) {
        return returned(cudaErrorStreamCaptureWrongThread);
    }
    Graph* graph = stream->capture->graph;
    const bool broken = stream->capture->broken;
    stream->capture.reset();
    if (broken) {
        delete graph;
        return returned(cudaErrorStreamCaptureInvalidated);
    }
    device().graphs.insert(graph);
    *made = (cudaGraph_t)graph;
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
    ENTER;
    Stream* stream = stream_of(handle);
    if (!stream) return returned(cudaErrorInvalidResourceHandle);
    *status = !stream->capture           ? cudaStreamCaptureStatusNone
              : stream->capture->broken ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }
EXPORT cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t handle, unsigned long long) {
    ENTER;
    Graph* graph = (Graph*)handle;
    if (!device().graphs.count(graph)) return returned(cudaErrorInvalidValue);
    Graph* launchable = new Graph(*graph);
    device().launchable.insert(launchable);
    *made = (cudaGraphExec_t)launchable;
    return returned(cudaSuccess);
}
EXPORT cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t) {
    ENTER;
    return returned(device().launchable.count((Graph*)handle) ? cudaSuccess : cudaErrorInvalidValue);
}
EXPORT cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t on) {
    ENTER;
    Stream* stream = stream_of(on);
    Graph* graph = (Graph*)handle;
    if (!stream || !device().launchable.count(graph)) return returned(cudaErrorInvalidResourceHandle);
    if (stream->capture) {
        say("a graph inside a graph: the stand-in does not do that");
        return returned(cudaErrorNotSupported);
    }
    // node by node, so that the name of one that fails is known
    for (auto& [name, run] : graph->nodes) {
        const cudaError_t error = push(stream, name + ", in a graph", run);
        if (error) return returned(error);
    }
    device().launches["replayed"] += (long)graph->nodes.size();
    device().launches["queued"] -= (long)graph->nodes.size();
    return returned(cudaSuccess);
}
static cudaError_t destroyed(std::set<Graph*>& living, Graph* graph) {
    if (!living.erase(graph)) return cudaErrorInvalidValue;
    delete graph;
    return cudaSuccess;
}
EXPORT cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    ENTER;
    return returned(destroyed(device().graphs, (Graph*)graph));
}
EXPORT cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    ENTER;
    return returned(destroyed(device().launchable, (Graph*)graph));
}
