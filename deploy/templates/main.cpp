// $name as a command: reads one input, runs the model, prints what it says.
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
constexpr size_t kInputFloats[] = {$input_floats}, kOutputFloats[] = {$output_floats};  // per item
constexpr size_t kInputs = $inputs, kOutputs = $outputs;

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

std::vector<float> read_input(const std::string& path) {
    const std::vector<unsigned char> bytes = read_file(path);
    if (!kMean.empty() && bytes.size() > 2 && bytes[0] == 'P' && (bytes[1] == '5' || bytes[1] == '6')) return read_image(bytes);
    if (bytes.empty() || bytes.size() % sizeof(float)) fail("'" + path + "' is neither a PPM image nor raw float32 numbers");
    std::vector<float> x(bytes.size() / sizeof(float));
    std::memcpy(x.data(), bytes.data(), bytes.size());
    return x;
}

void print_numbers(const float* y, size_t count) {
    for (size_t i = 0; i < count; ++i) std::printf("%s%.9g", i ? " " : "", y[i]);
    std::printf("\n");
}

// The most likely labels with their probabilities, softmax of the outputs.
void print_labels(const float* y) {
    const size_t count = kLabels.size();
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
    if (argc != int(kInputs) + 1) {
        std::fprintf(stderr, "usage: $name %s\n  each input is raw float32 numbers%s; - reads standard input\n", "$arguments",
                     kMean.empty() ? "" : ", or a binary PPM image");
        return 2;
    }
    std::vector<std::vector<float>> inputs, outputs;
    std::vector<const float*> in;
    std::vector<float*> out;
    for (size_t i = 0; i < kInputs; ++i) {
        inputs.push_back(read_input(argv[i + 1]));
        in.push_back(inputs.back().data());
    }
    const size_t batch = inputs[0].size() / kInputFloats[0];
    for (size_t i = 0; i < kInputs; ++i)
        if (batch == 0 || inputs[i].size() != batch * kInputFloats[i])
            fail("input " + std::to_string(i + 1) + " needs " + std::to_string(kInputFloats[i]) + " numbers per item, got " +
                 std::to_string(inputs[i].size()));
    for (size_t i = 0; i < kOutputs; ++i) {
        outputs.emplace_back(batch * kOutputFloats[i]);
        out.push_back(outputs.back().data());
    }
    char error[256];
    ${name}_model* model = ${name}_create(nullptr, int64_t(batch), 1, error, sizeof error);
    if (model == nullptr) fail(error);
    if (${name}_run(model, int64_t(batch), in.data(), out.data())) fail(${name}_error(model));
    for (size_t item = 0; item < batch; ++item) {
        if (!kLabels.empty() && kLabels.size() == kOutputFloats[0])
            print_labels(outputs[0].data() + item * kOutputFloats[0]);
        else
            for (size_t i = 0; i < kOutputs; ++i) print_numbers(outputs[i].data() + item * kOutputFloats[i], kOutputFloats[i]);
    }
    ${name}_destroy(model);
}
