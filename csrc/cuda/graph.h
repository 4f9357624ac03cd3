// Kernels that were started once as a graph, which starts all of them again at once: a program's call is the same kernels every
// time, and starting them one by one takes longer than small ones run.
#pragma once
#include "runtime.h"

namespace nd {

#if defined(__CUDACC__)

// From here to end_capture what is started on the stream is written down and does not run. Relaxed, for what other threads ask of
// the device meanwhile has nothing to do with it, and the code of a kernel may be loaded when it is first started.
inline int begin_capture(void* stream) {
    return static_cast<int>(cudaStreamBeginCapture(static_cast<cudaStream_t>(stream), cudaStreamCaptureModeRelaxed));
}

// `graph`, null or that of an earlier capture, becomes what was written down. It is changed in place where it has the same
// kernels in the same order but for their arguments, else made anew. Null where that fails.
inline int end_capture(void* stream, void** graph) {
    auto* made = static_cast<cudaGraphExec_t>(*graph);
    cudaGraph_t written = nullptr;
    cudaError_t error = cudaStreamEndCapture(static_cast<cudaStream_t>(stream), &written);
    cudaGraphExecUpdateResultInfo told;
    if (made != nullptr && (error != cudaSuccess || cudaGraphExecUpdate(made, written, &told) != cudaSuccess)) {
        static_cast<void>(cudaGraphExecDestroy(made));
        made = nullptr;
    }
    if (made == nullptr && error == cudaSuccess) error = cudaGraphInstantiate(&made, written, 0);
    if (written != nullptr) static_cast<void>(cudaGraphDestroy(written));
    static_cast<void>(cudaGetLastError());  // which the next launch would be taken to have caused
    *graph = error == cudaSuccess ? made : nullptr;
    return static_cast<int>(error);
}

inline int start_graph(void* stream, void* graph) {
    return static_cast<int>(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), static_cast<cudaStream_t>(stream)));
}
inline void give_graph(void* graph) {
    if (graph != nullptr) static_cast<void>(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)));
}

#else

inline int begin_capture(void*) { return simt::capture(new simt::Launches), 0; }
inline void give_graph(void* graph) { delete static_cast<simt::Launches*>(graph); }
inline int end_capture(void*, void** graph) {
    give_graph(*graph);
    *graph = simt::captured();
    return 0;
}
inline int start_graph(void*, void* graph) {
    for (const auto& launch : *static_cast<const simt::Launches*>(graph)) launch();
    return 0;
}

#endif

}  // namespace nd
