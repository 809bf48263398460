/* What a codec takes for one packet of 20 ms, alone in one thread: from samples to its payload, and back.
 *
 * Compiled and run by tests/bench/bench_packets.py with the codecs of media/native. Usage: codec_cost ROUNDS, with A-law
 * speech on stdin. Prints a line of JSON for G.711 (PCMA to PCMU, which is the same both ways), and one for each codec; for Opus one
 * for each complexity. `state_kb` is what decoder and encoder of one endpoint keep.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../media/native/codec.h"
#include "../../media/native/g711.h"
#include "rounds.h"

#ifdef HAVE_OPUS
#include <opus/opus.h>
#endif

#define MOST_FRAMES 4096
#define COPIES 64 /* G.711 is too fast for the clock */

static uint8_t speech[MOST_FRAMES][FRAME];
static int16_t samples[MOST_FRAMES][FRAME];
static uint8_t payloads[MOST_FRAMES][MAX_PAYLOAD];
static size_t lengths[MOST_FRAMES];
static int frames;

struct cost {
    double encode, decode; /* microseconds a packet */
};

static void tell(const char *name, struct cost cost, size_t state)
{
    printf("{\"name\": \"%s\", \"encode_us\": %.4f, \"decode_us\": %.4f, \"state_kb\": %.1f}\n", name, cost.encode,
           cost.decode, (double)state / 1024);
}

static void measure_g711(int rounds)
{
    struct cost cost = {0};
    for (int round = 0; round < rounds; round++) {
        double before = cpu_us();
        for (int i = 0; i < frames * COPIES; i++) {
            g711_translate(payloads[i % frames], speech[i % frames], FRAME, alaw_to_ulaw);
            __asm__ volatile("" ::: "memory"); /* nothing is left out because nobody reads it */
        }
        cost.encode = least(cost.encode, (cpu_us() - before) / (frames * COPIES));
    }
    cost.decode = cost.encode;
    tell("PCMA to PCMU", cost, 0);
}

#if defined HAVE_OPUS || defined HAVE_G722
static void begin(const struct codec *codec, void *encoder, void *decoder, int complexity)
{
    const struct tuning nothing_asked = {0};
    codec->encoder_init(encoder);
    codec->encoder_tune(encoder, &nothing_asked);
    codec->decoder_init(decoder);
#ifdef HAVE_OPUS
    if (complexity >= 0)
        opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(complexity));
#else
    (void)complexity;
#endif
}

/* `complexity` below 0: the codec's own. */
static void measure(const char *name, const struct codec *codec, int complexity, int rounds)
{
    void *encoder = calloc(1, codec->encoder_size()), *decoder = calloc(1, codec->decoder_size());
    struct cost cost = {0};
    for (int round = 0; encoder && decoder && round < rounds; round++) {
        int16_t back[MAX_DECODED];
        begin(codec, encoder, decoder, complexity);
        double before = cpu_us();
        for (int i = 0; i < frames; i++)
            lengths[i] = codec->encode(encoder, samples[i], FRAME, payloads[i]);
        double between = cpu_us();
        for (int i = 0; i < frames; i++)
            if (codec->decode(decoder, payloads[i], lengths[i], back) != FRAME)
                exit(1);
        cost.encode = least(cost.encode, (between - before) / frames);
        cost.decode = least(cost.decode, (cpu_us() - between) / frames);
    }
    tell(name, cost, codec->encoder_size() + codec->decoder_size());
    free(encoder);
    free(decoder);
}
#endif

int main(int count, char **arguments)
{
    int rounds = count > 1 ? atoi(arguments[1]) : 8;
    g711_init();
    while (frames < MOST_FRAMES && fread(speech[frames], 1, FRAME, stdin) == FRAME) {
        for (int i = 0; i < FRAME; i++)
            samples[frames][i] = alaw_linear[speech[frames][i]];
        frames++;
    }
    if (!frames)
        return 1;
    measure_g711(rounds);
#ifdef HAVE_G722
    measure("G.722", &codec_g722, -1, rounds);
#endif
#ifdef HAVE_OPUS
    measure("Opus", &codec_opus, -1, rounds);
    measure("Opus, complexity 0", &codec_opus, 0, rounds);
    measure("Opus, complexity 10", &codec_opus, 10, rounds);
#endif
    return 0;
}
