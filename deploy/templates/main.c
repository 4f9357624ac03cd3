/* $name as a command: reads the inputs, runs the model, prints what it says. Needs the C library alone. */
#include "$name.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZES = $size_count, INPUTS = $inputs, STATES = $states, OUTPUTS = $outputs, TENSORS = INPUTS + STATES + OUTPUTS };
enum { LABELS = $label_count, CHANNELS = $channels, HEIGHT = $height, WIDTH = $width };  /* 0 where there are none */

static const char* const kSizeNames[] = {$size_words};
static const char* const kLabels[] = {$labels};
static const float kMean[] = {$mean}, kStd[] = {$std};  /* of each channel of an image input */
static const char kKinds[] = {$kinds};  /* of each input, state and output: 'f'loat, 'i'nteger, 'u'nsigned or 'b'ool */
static const size_t kElementBytes[] = {$element_bytes};
static const int64_t kBelow[] = {$below};  /* what the whole numbers of an input are below, 0 where any number will do */

/* Sizes, and the first numbers of each output, of the model on the inputs that `draw` makes. */
static const int64_t kTestSizes[] = {$test_sizes};
static const double kTestOutputs[] = {$test_outputs};
static const size_t kTestCounts[] = {$test_counts};

typedef struct {
    unsigned char* data;
    size_t bytes;
} Memory;

static void fail(const char* message, const char* about) {
    fprintf(stderr, "$name: %s%s\n", message, about);
    exit(1);
}

static void* allocate(size_t bytes) {
    void* memory = calloc(bytes ? bytes : 1, 1);
    if (memory == NULL) fail("out of memory", "");
    return memory;
}

/* The bytes of each input, of each state and of each output. */
static void bytes_of(const int64_t* sizes, size_t* bytes) {
    for (int i = 0; i < TENSORS; ++i) bytes[i] = (size_t)${name}_bytes(sizes, i);
}

static Memory read_file(const char* path) {
    FILE* file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (file == NULL) fail("cannot open ", path);
    Memory all = {NULL, 0};
    for (size_t room = 0, n = 1; n > 0; all.bytes += n) {
        if (all.bytes == room) {
            room = room ? 2 * room : 1 << 16;
            all.data = (unsigned char*)realloc(all.data, room);
            if (all.data == NULL) fail("no memory for ", path);
        }
        n = fread(all.data + all.bytes, 1, room - all.bytes, file);
    }
    if (file != stdin) fclose(file);
    return all;
}

/* The next number of a PPM header, behind white space and comments; moves `at` behind it. */
static long ppm_number(Memory file, size_t* at) {
    while (*at < file.bytes && (isspace(file.data[*at]) || file.data[*at] == '#')) {
        if (file.data[*at] == '#')
            while (*at < file.bytes && file.data[*at] != '\n') ++*at;
        else
            ++*at;
    }
    long value = 0;
    const size_t start = *at;
    for (; *at < file.bytes && isdigit(file.data[*at]) && value < 1000000; ++*at) value = 10 * value + (file.data[*at] - '0');
    if (*at == start) fail("the PPM header is malformed", "");
    return value;
}

/* A binary PPM (P6) or PGM (P5) as (C, H, W) floats: (x / 255 - mean) / std. */
static Memory read_image(Memory file) {
    size_t at = 2;
    const long width = ppm_number(file, &at), height = ppm_number(file, &at), most = ppm_number(file, &at);
    ++at;  /* one white-space character ends the header */
    if (width != WIDTH || height != HEIGHT || most != 255 || file.data[1] != (CHANNELS == 3 ? '6' : '5'))
        fail("needs a $width x $height image with 8 bits per channel; resize it first", "");
    const size_t pixels = (size_t)width * (size_t)height;
    if (file.bytes < at + pixels * CHANNELS) fail("the image is cut off", "");
    float* x = (float*)allocate(CHANNELS * pixels * sizeof(float));
    for (size_t c = 0; c < CHANNELS; ++c)
        for (size_t i = 0; i < pixels; ++i) x[c * pixels + i] = (file.data[at + i * CHANNELS + c] / 255.0f - kMean[c]) / kStd[c];
    free(file.data);
    const Memory image = {(unsigned char*)x, CHANNELS * pixels * sizeof(float)};
    return image;
}

static Memory read_input(const char* path) {
    const Memory file = read_file(path);
    const int image = CHANNELS > 0 && file.bytes >= 3 && file.data[0] == 'P' && (file.data[1] == '5' || file.data[1] == '6');
    return image ? read_image(file) : file;
}

/* Takes the size that `text`, "time=16", gives; 0 where it is no such text. */
static int take_size(const char* text, int64_t* sizes) {
    for (int i = 0; i < SIZES; ++i) {
        const size_t length = strlen(kSizeNames[i]);
        if (strncmp(text, kSizeNames[i], length) != 0 || text[length] != '=') continue;
        char* end = NULL;
        sizes[i] = strtoll(text + length + 1, &end, 10);
        if (*end != 0 || sizes[i] < 1) fail("a size is a number from 1 on, got ", text);
        return 1;
    }
    return 0;
}

/* An element as a number: of whole ones exact up to 2^53. */
static double number_at(const unsigned char* x, char kind, size_t bytes) {
    float real;
    double wide;
    int64_t whole = 0;
    if (kind == 'f' && bytes == sizeof real) return memcpy(&real, x, sizeof real), real;
    if (kind == 'f') return memcpy(&wide, x, sizeof wide), wide;
    memcpy(&whole, x, bytes);  /* the lower bytes come first */
    if (kind == 'i' && bytes < 8) whole = (int64_t)((uint64_t)whole << (64 - 8 * bytes)) >> (64 - 8 * bytes);
    return (double)whole;
}

static void print_numbers(const unsigned char* y, size_t count, char kind, size_t bytes) {
    for (size_t i = 0; i < count; ++i, y += bytes) {
        int64_t whole;
        if (i) putchar(' ');
        if (kind == 'i' && bytes == 8) memcpy(&whole, y, 8), printf("%lld", (long long)whole);
        else printf(kind == 'f' ? "%.9g" : "%.0f", number_at(y, kind, bytes));
    }
    putchar('\n');
}

/* The most likely labels with their probabilities, softmax of the outputs. */
static void print_labels(const float* y) {
    char* said = (char*)allocate(LABELS);
    double sum = 0, most = y[0];
    for (int i = 1; i < LABELS; ++i) most = y[i] > most ? y[i] : most;
    for (int i = 0; i < LABELS; ++i) sum += exp(y[i] - most);
    for (int n = 0; n < 5 && n < LABELS; ++n) {
        int best = -1;
        for (int i = 0; i < LABELS; ++i)
            if (!said[i] && (best < 0 || y[i] > y[best])) best = i;
        said[best] = 1;
        printf("%-20s %.4f\n", kLabels[best], exp(y[best] - most) / sum);
    }
    free(said);
}

/* The same numbers on every machine: floats in [-1, 1); ids and other whole numbers that the model takes. */
static void draw(unsigned char* x, size_t count, int port) {
    const char kind = kKinds[port];
    for (size_t i = 0; i < count; ++i, x += kElementBytes[port]) {
        uint32_t h = (uint32_t)i * 2654435761u + (uint32_t)port * 40503u;
        h = (h ^ (h >> 15)) * 2246822519u;
        h ^= h >> 13;
        const int64_t below = kind == 'b' ? 2 : kBelow[port] ? kBelow[port] : 100, whole = (int64_t)(h % (uint64_t)below);
        const float real = kBelow[port] ? (float)whole : (float)(h >> 8) / 8388608.0f - 1.0f;
        const double wide = real;
        memcpy(x, kind != 'f' ? (const void*)&whole : kElementBytes[port] == 8 ? (const void*)&wide : (const void*)&real,
               kElementBytes[port]);
    }
}

static ${name}_model* created(const int64_t* sizes) {
    static char error[256];
    (void)sizes;
    ${name}_model* model = ${name}_create(NULL, ${size_values}1, error, sizeof error);
    if (model == NULL) fail(error, "");
    return model;
}

static void run(${name}_model* model, const int64_t* sizes, Memory* memory) {
    void* operands[TENSORS];
    for (int i = 0; i < TENSORS; ++i) operands[i] = memory[i].data;
    if (${name}_call(model, sizes, operands)) fail(${name}_error(model), "");
}

/* Runs what was run when the program was built, and compares: is this the model, on this processor? */
static int self_test(void) {
    size_t bytes[TENSORS], at = 0, compared = 0;
    double worst = 0;
    Memory memory[TENSORS];
    bytes_of(kTestSizes, bytes);
    for (int i = 0; i < TENSORS; ++i) {
        memory[i].data = (unsigned char*)allocate(bytes[i]);
        if (i < INPUTS) draw(memory[i].data, bytes[i] / kElementBytes[i], i);
    }
    ${name}_model* model = created(kTestSizes);
    run(model, kTestSizes, memory);
    for (int k = 0; k < OUTPUTS; at += kTestCounts[k++]) {
        const int port = INPUTS + STATES + k;
        double largest = 0, difference = 0;
        for (size_t i = 0; i < kTestCounts[k]; ++i, ++compared) {
            const double found = number_at(memory[port].data + i * kElementBytes[port], kKinds[port], kElementBytes[port]);
            const double expected = kTestOutputs[at + i];
            if (isnan(found) && isnan(expected)) continue;
            if (fabs(expected) > largest) largest = fabs(expected);
            if (!(fabs(found - expected) <= difference)) difference = fabs(found - expected);
        }
        difference /= largest > 0 ? largest : 1;
        if (!(difference <= worst)) worst = difference;
    }
    const int equal = worst <= $tolerance;
    printf("self-test on %s: %zu numbers, largest difference %.1e of the largest: %s\n", ${name}_isa(model), compared, worst,
           equal ? "equal" : "DIFFERENT");
    ${name}_destroy(model);
    return equal ? 0 : 1;
}

int main(int argc, char** argv) {
    int64_t sizes[SIZES + 1] = {0};
    size_t bytes[TENSORS];
    Memory memory[TENSORS];
    int next = 1, batch = -1;  /* which of the sizes: as many items as there are in the first input */
    if (argc == 2 && strcmp(argv[1], "--self-test") == 0) return self_test();
    while (next < argc && take_size(argv[next], sizes)) ++next;
    if (argc - next != INPUTS) {
        fprintf(stderr, "usage: $name $arguments\n       $name --self-test\n  each input is raw memory of its type%s; - reads standard input\n",
                CHANNELS ? ", or a binary PPM image" : "");
        return 2;
    }
    for (int i = 0; i < INPUTS; ++i) memory[i] = read_input(argv[next + i]);
    for (int i = 0; i < SIZES; ++i) {
        if (strcmp(kSizeNames[i], "batch") == 0) batch = i;
        else if (sizes[i] == 0) fail("needs each size but the batch, as in time=1; there is none for ", kSizeNames[i]);
    }
    if (batch >= 0 && sizes[batch] == 0) {
        sizes[batch] = 1;
        bytes_of(sizes, bytes);
        sizes[batch] = (int64_t)(memory[0].bytes / bytes[0]);
    }
    bytes_of(sizes, bytes);
    for (int i = 0; i < TENSORS; ++i) {
        if (i >= INPUTS) memory[i].data = (unsigned char*)allocate(memory[i].bytes = bytes[i]);
        if (memory[i].bytes == bytes[i] && bytes[i] > 0) continue;
        fprintf(stderr, "$name: input %d needs %zu bytes for these sizes, got %zu\n", i + 1, bytes[i], memory[i].bytes);
        return 1;
    }
    ${name}_model* model = created(sizes);
    run(model, sizes, memory);
    const size_t items = batch >= 0 ? (size_t)sizes[batch] : 1;
    for (size_t item = 0; item < items; ++item)
        for (int i = INPUTS + STATES; i < TENSORS; ++i) {
            const size_t part = memory[i].bytes / items, count = part / kElementBytes[i];
            const unsigned char* y = memory[i].data + item * part;
            if (LABELS > 0 && LABELS == count && kKinds[i] == 'f' && kElementBytes[i] == 4) print_labels((const float*)(const void*)y);
            else print_numbers(y, count, kKinds[i], kElementBytes[i]);
        }
    ${name}_destroy(model);
    return 0;
}
