// ND_ABSENT(name) makes `no_name`, the entry of a table for a kernel that the device does not have: called, it refuses by name.
#pragma once
#include <string>
#include "../bind/array.h"
#include "stream.h"

namespace nd {

template <class Name>
struct Absent {
    template <class Result, class... Arguments>
    static Result refuse(Arguments...) {
        throw DeviceError("[" + std::string(Name::text) + "] has no kernel on " + device_text(current_device()) +
                          " yet; x.to(ndl.cpu()) brings arrays to a device that has");
    }
    template <class Result, class... Arguments>
    using Entry = Result (*)(Arguments...);
    template <class Result, class... Arguments>
    constexpr operator Entry<Result, Arguments...>() const { return &refuse<Result, Arguments...>; }
};

}  // namespace nd

#define ND_ABSENT(name)                                       \
    struct absent_##name { static constexpr const char* text = #name; }; \
    constexpr nd::Absent<absent_##name> no_##name{};
