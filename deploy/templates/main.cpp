// $name as a command: reads the inputs, runs the model, prints what it says.
#include "$name.h"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

const std::vector<std::string> kLabels = {$labels};
const std::vector<float> kMean = {$mean}, kStd = {$std};   // of an image input; empty for any other
constexpr int kHeight = $height, kWidth = $width;
constexpr int kSizes = $size_count, kInputs = $inputs, kOutputs = $outputs;
constexpr const char* kSizeNames[] = {$size_words};
constexpr char kOutputKinds[] = {$output_kinds};  // 'f'loat, 'i'nteger, 'u'nsigned or 'b'ool
constexpr int kOutputBytes[] = {$output_element_bytes};

// The bytes of each input, of each state and of each output.
std::vector<size_t> bytes_of(const int64_t* sizes) {
    ${take_sizes}(void)sizes;
    return {$bytes};
}

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "$name: %s\n", message.c_str());
    std::exit(1);
}

std::vector<unsigned char> read_file(const std::string& path) {
    std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "rb");
    if (file == nullptr) fail("cannot open '" + path + "'");
    std::vector<unsigned char> bytes, part(1 << 16);
    for (size_t n; (n = std::fread(part.data(), 1, part.size(), file)) > 0;) bytes.insert(bytes.end(), part.begin(), part.begin() + n);
    if (file != stdin) std::fclose(file);
    return bytes;
}

// The next number of a PPM header, behind white space and comments; moves `at` behind it.
long ppm_number(const std::vector<unsigned char>& bytes, size_t& at) {
    while (at < bytes.size() && (std::isspace(bytes[at]) || bytes[at] == '#')) {
        if (bytes[at] == '#')
            while (at < bytes.size() && bytes[at] != '\n') ++at;
        else
            ++at;
    }
    long value = 0;
    const size_t start = at;
    for (; at < bytes.size() && std::isdigit(bytes[at]) && value < 1000000; ++at) value = 10 * value + (bytes[at] - '0');
    if (at == start) fail("the PPM header is malformed");
    return value;
}

// A binary PPM (P6) or PGM (P5) as (C, H, W) floats: (x / 255 - mean) / std.
std::vector<float> read_image(const std::vector<unsigned char>& bytes) {
    const size_t channels = kMean.size();
    size_t at = 2;
    const long width = ppm_number(bytes, at), height = ppm_number(bytes, at), most = ppm_number(bytes, at);
    ++at;  // one white-space character ends the header
    if (width != kWidth || height != kHeight || most != 255 || bytes[1] != (channels == 3 ? '6' : '5'))
        fail("needs a " + std::to_string(kWidth) + " x " + std::to_string(kHeight) + " image with 8 bits per channel; resize it first");
    const size_t pixels = size_t(width) * height;
    if (bytes.size() < at + pixels * channels) fail("the image is cut off");
    std::vector<float> x(channels * pixels);
    for (size_t c = 0; c < channels; ++c)
        for (size_t i = 0; i < pixels; ++i) x[c * pixels + i] = (bytes[at + i * channels + c] / 255.0f - kMean[c]) / kStd[c];
    return x;
}

std::vector<unsigned char> read_input(const std::string& path) {
    std::vector<unsigned char> bytes = read_file(path);
    if (kMean.empty() || bytes.size() < 3 || bytes[0] != 'P' || (bytes[1] != '5' && bytes[1] != '6')) return bytes;
    const std::vector<float> x = read_image(bytes);
    const auto* first = reinterpret_cast<const unsigned char*>(x.data());
    return {first, first + x.size() * sizeof(float)};
}

// The size that `text`, "time=16", gives, or -1 where it is no such text.
int size_given(const std::string& text, int64_t* sizes) {
    const size_t at = text.find('=');
    for (int i = 0; i < kSizes && at != std::string::npos; ++i)
        if (text.substr(0, at) == kSizeNames[i]) {
            char* end = nullptr;
            sizes[i] = std::strtoll(text.c_str() + at + 1, &end, 10);
            if (*end != 0 || sizes[i] < 1) fail("a size is a number from 1 on, got '" + text + "'");
            return i;
        }
    return -1;
}

void print_numbers(const unsigned char* y, size_t count, char kind, int bytes) {
    for (size_t i = 0; i < count; ++i, y += bytes) {
        float number;
        int64_t whole = 0;
        std::memcpy(kind == 'f' ? static_cast<void*>(&number) : &whole, y, size_t(bytes));  // the lower bytes come first
        if (kind == 'i' && bytes < 8) whole = whole << (64 - 8 * bytes) >> (64 - 8 * bytes);
        if (kind == 'f') std::printf("%s%.9g", i ? " " : "", number);
        else std::printf("%s%lld", i ? " " : "", static_cast<long long>(whole));
    }
    std::printf("\n");
}

// The most likely labels with their probabilities, softmax of the outputs.
void print_labels(const float* y, size_t count) {
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return y[a] > y[b]; });
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += std::exp(double(y[i]) - y[order[0]]);
    for (size_t i = 0; i < std::min<size_t>(5, count); ++i)
        std::printf("%-20s %.4f\n", kLabels[order[i]].c_str(), std::exp(double(y[order[i]]) - y[order[0]]) / sum);
}

}  // namespace

int main(int argc, char** argv) {
    int64_t sizes[kSizes + 1] = {};
    int next = 1;
    while (next < argc && size_given(argv[next], sizes) >= 0) ++next;
    if (argc - next != kInputs) {
        std::fprintf(stderr, "usage: $name $arguments\n  each input is raw memory of its type%s; - reads standard input\n",
                     kMean.empty() ? "" : ", or a binary PPM image");
        return 2;
    }
    std::vector<std::vector<unsigned char>> memory;
    for (int i = 0; i < kInputs; ++i) memory.push_back(read_input(argv[next + i]));
    int batch = -1;  // which of the sizes: as many items as there are in the first input
    for (int i = 0; i < kSizes; ++i) {
        const bool open = sizes[i] == 0, items = std::string(kSizeNames[i]) == "batch";
        if (items) batch = i;
        if (open && !items) fail(std::string("needs the size ") + kSizeNames[i] + ", as in " + kSizeNames[i] + "=1");
    }
    if (batch >= 0 && sizes[batch] == 0) {
        sizes[batch] = 1;
        sizes[batch] = int64_t(memory[0].size() / bytes_of(sizes)[0]);
    }
    const std::vector<size_t> bytes = bytes_of(sizes);
    for (size_t i = 0; i < memory.size(); ++i)
        if (memory[i].size() != bytes[i] || bytes[i] == 0)
            fail("input " + std::to_string(i + 1) + " needs " + std::to_string(bytes[i]) + " bytes for these sizes, got " +
                 std::to_string(memory[i].size()));
    for (size_t i = memory.size(); i < bytes.size(); ++i) memory.emplace_back(bytes[i]);
    char error[256];
    ${name}_model* model = ${name}_create(nullptr, ${size_values}1, error, sizeof error);
    if (model == nullptr) fail(error);
    if (${name}_run(model, $call)) fail(${name}_error(model));
    const size_t items = batch >= 0 ? size_t(sizes[batch]) : 1;
    for (size_t item = 0; item < items; ++item)
        for (int i = 0; i < kOutputs; ++i) {
            const std::vector<unsigned char>& y = memory[memory.size() - size_t(kOutputs) + size_t(i)];
            const size_t part = y.size() / items, count = part / size_t(kOutputBytes[i]);
            const unsigned char* at = y.data() + item * part;
            if (!kLabels.empty() && kLabels.size() == count && kOutputKinds[i] == 'f')
                print_labels(reinterpret_cast<const float*>(at), count);
            else
                print_numbers(at, count, kOutputKinds[i], kOutputBytes[i]);
        }
    ${name}_destroy(model);
}
