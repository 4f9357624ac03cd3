// Work on many flat arrays in one launch, as an optimizer's on all parameters of a model: arrays are cut into pieces of one
// length, and a block works on each.
//
// Which arrays these are is an argument of the kernel, by value. That needs no memory of the device, no copy, and nobody who
// keeps the list until the kernel has run. All arguments of a kernel may take 4 KB, so a list longer than that (76 parameters)
// takes several launches.
#pragma once
#include "launch.h"

namespace nd { namespace ND_ISA {

constexpr std::size_t kListBytes = 4096 - 128;  // which leaves some for the other arguments

// What one block works on: elements [first, end) of an item.
template <class Item>
struct Piece {
    const Item& item;
    int64_t first, end;
};

// Items have a `count` of elements.
template <class Item, int64_t Length>
struct PieceList {
    static constexpr int kMost = static_cast<int>((kListBytes - 8) / (sizeof(Item) + sizeof(unsigned)));

    int items = 0;
    unsigned blocks = 0;           // of all items
    unsigned first[kMost] = {};    // block of each
    Item item[kMost] = {};

    void add(const Item& x) {
        first[items] = blocks;
        item[items++] = x;
        blocks += static_cast<unsigned>(ceil_div(x.count, Length));
    }

    // The piece of a block, which is one of the last item that does not begin behind it.
    __device__ __forceinline__ Piece<Item> of_block(unsigned block) const {
        int low = 0;
        for (int end = items; end - low > 1;) {
            const int middle = (low + end) / 2;
            if (first[middle] <= block) low = middle;
            else end = middle;
        }
        const int64_t from = int64_t(block - first[low]) * Length, rest = item[low].count - from;
        return {item[low], from, from + (rest < Length ? rest : Length)};
    }
};

// start(list, pieces before it) for as few lists as hold the items; none for items without elements.
template <int64_t Length, class Item, class Start>
void in_pieces(int64_t count, const Item* items, Start start) {
    using List = PieceList<Item, Length>;
    static_assert(sizeof(List) <= kListBytes, "kernels take no longer arguments");
    int64_t before = 0;
    for (int64_t i = 0; i < count;) {
        List list;
        for (; i < count && list.items < List::kMost; ++i)
            if (items[i].count > 0) list.add(items[i]);
        if (list.blocks > 0) start(list, before);
        before += list.blocks;
    }
}

}}  // namespace nd::ND_ISA
