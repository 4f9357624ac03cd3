/* Classifies photographs with a compiled ResNet9. As a user would build it:
 *
 *     needle-deploy freeze zoo:resnet9 -o resnet9.nd && needle-deploy build resnet9.nd
 *     cc -std=c11 -Iresnet9 classify.c resnet9/libresnet9.a -pthread -lm -o classify
 *     ./classify image.ppm ...            (32 x 32 pixels, binary PPM)
 */
#include <stdio.h>
#include "resnet9.h"

enum { SIDE = 32, CHANNELS = 3, CLASSES = 10 };
static const char* const kClasses[CLASSES] = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
static const float kMean[CHANNELS] = {0.4914f, 0.4822f, 0.4465f}, kStd[CHANNELS] = {0.2470f, 0.2435f, 0.2616f};

/* A binary PPM as (channel, row, column), each channel with mean 0 and deviation 1; 0 where it is none of this size. */
static int read_image(const char* path, float* x) {
    static unsigned char pixels[SIDE * SIDE * CHANNELS];
    int width = 0, height = 0, most = 0;
    FILE* file = fopen(path, "rb");
    if (file == NULL) return 0;
    int read = fscanf(file, "P6 %d %d %d", &width, &height, &most) == 3 && width == SIDE && height == SIDE && most == 255;
    read = read && fgetc(file) != EOF && fread(pixels, 1, sizeof pixels, file) == sizeof pixels;
    fclose(file);
    for (int c = 0; c < CHANNELS; ++c)
        for (int i = 0; i < SIDE * SIDE; ++i)
            x[c * SIDE * SIDE + i] = (pixels[i * CHANNELS + c] / 255.0f - kMean[c]) / kStd[c];
    return read;
}

int main(int argc, char** argv) {
    static float image[CHANNELS * SIDE * SIDE];
    float logits[CLASSES];
    char error[256];
    resnet9_model* model = resnet9_create(NULL, /* max_batch */ 1, /* threads */ 1, error, sizeof error);
    if (model == NULL) return fprintf(stderr, "%s\n", error), 1;
    for (int i = 1; i < argc; ++i) {
        int best = 0;
        if (!read_image(argv[i], image)) return fprintf(stderr, "'%s' is no binary PPM of 32 x 32 pixels\n", argv[i]), 1;
        if (resnet9_run(model, /* batch */ 1, image, logits)) return fprintf(stderr, "%s\n", resnet9_error(model)), 1;
        for (int k = 1; k < CLASSES; ++k) best = logits[k] > logits[best] ? k : best;
        printf("%s: %s\n", argv[i], kClasses[best]);
    }
    resnet9_destroy(model);
    return 0;
}
