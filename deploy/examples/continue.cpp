// Continues token ids with a compiled GPT, always with the most likely one: the prompt in one call, then id by id.
//
//     needle-deploy freeze zoo:gpt-char --decoding 1 -o gpt.nd && needle-deploy build gpt.nd
//     c++ -std=c++17 -Igpt continue.cpp gpt/libgpt.a -pthread -o continue
//     ./continue 20 18 47 56 57 58        (20 ids that follow 18 47 56 57 58)
//
// What the model keeps from call to call, its cache of keys and values, is memory of this program: zeros at first.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "gpt.hpp"

int main(int argc, char** argv) try {
    std::vector<int32_t> ids;
    for (int i = 2; i < argc; ++i) ids.push_back(std::atoi(argv[i]));
    if (ids.empty()) return std::fputs("usage: continue COUNT ID ...\n", stderr), 2;
    const int64_t longest = int64_t(ids.size());
    int32_t slot = 0, position = 0;
    gpt_model* const model = gpt_create(nullptr, /* max_batch */ 1, /* max_time */ longest, /* threads */ 1, nullptr, 0);
    if (model == nullptr) return 1;

    // Operands: ids, slot, position, the state, and last the logits (batch, time, vocabulary).
    int64_t sizes[] = {1, longest};
    std::vector<std::vector<char>> memory;
    for (int i = 3; gpt_bytes(sizes, i) > 0; ++i) memory.emplace_back(std::size_t(gpt_bytes(sizes, i)));
    std::vector<void*> operands = {ids.data(), &slot, &position};
    for (auto& each : memory) operands.push_back(each.data());

    int32_t next = 0;
    for (int left = std::atoi(argv[1]); left > 0; --left) {
        if (gpt_call(model, sizes, operands.data())) return std::fprintf(stderr, "%s\n", gpt_error(model)), 1;
        const int64_t vocabulary = gpt_bytes(sizes, int(operands.size()) - 1) / sizes[1] / int64_t(sizeof(float));
        const float* const logits = reinterpret_cast<const float*>(memory.back().data()) + (sizes[1] - 1) * vocabulary;
        next = int32_t(std::max_element(logits, logits + vocabulary) - logits);
        std::printf("%d\n", next);
        position += int32_t(sizes[1]);
        sizes[1] = 1;
        operands[0] = &next;
    }
    gpt_destroy(model);
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
