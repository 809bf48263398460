/* Forward error correction of Opus (RFC 6716 2.1.7): what was lost is heard from the packet behind it, not guessed.
 *
 * The pitch changes where a packet is lost, which nobody can guess. Compiled with the sanitizers and run by
 * tests/media/native/test_core.py. A build without libopus has nothing to test.
 */
#include "steps.h"
#include "coded.h"

#ifdef HAVE_OPUS

#define LOST 30 /* the first packet of the other pitch */
#define BEFORE 300.0
#define BEHIND 700.0

static double phase;

static void sing(uint32_t packet, int16_t *samples)
{
    for (int i = 0; i < FRAME_SAMPLES; i++) {
        phase += 2 * M_PI * (packet < LOST ? BEFORE : BEHIND) / 8000;
        samples[i] = (int16_t)(8000 * sin(phase));
    }
}

static double share_of(double hertz, const int16_t *samples)
{
    double re = 0, im = 0;
    for (int i = 0; i < FRAME_SAMPLES; i++) {
        re += samples[i] * cos(2 * M_PI * hertz * i / 8000);
        im += samples[i] * sin(2 * M_PI * hertz * i / 8000);
    }
    return 2 * (re * re + im * im) / FRAME_SAMPLES / (power(samples) + 1);
}

static bool has_changed(const int16_t *samples)
{
    return share_of(BEHIND, samples) > 2 * share_of(BEFORE, samples);
}

static bool heard_in_the_place_of_the_lost(bool fec)
{
    int16_t samples[FRAME_SAMPLES];
    uint8_t payload[MAX_PAYLOAD];
    struct stream stream;
    start();
    stream_open(&stream, "opus");
    stream.codec->encoder_tune(stream.encoder, &(struct tuning){.fec = fec});
    join(open_with(0, "opus", FRAME_SAMPLES, 101, 8000), open_endpoint(1, PCMA, 101));
    for (uint16_t i = 0; i < LOST + 2; i++, worker.now += FRAME_NS) {
        sing(i, samples);
        size_t length = stream.codec->encode(stream.encoder, samples, FRAME_SAMPLES, payload);
        if (i != LOST)
            give(0, TYPE_IN, i, i * 960u, payload, length);
    }
    CHECK(sent_count == LOST + 2);
    for (int i = 0; i < FRAME_SAMPLES; i++)
        samples[i] = alaw_linear[sent[LOST].data[RTP_HEADER + i]];
    stream_close(&stream);
    finish();
    return has_changed(samples);
}

static void test_what_was_lost_is_heard_from_the_packet_behind_it(void)
{
    CHECK(heard_in_the_place_of_the_lost(true));
    CHECK(!heard_in_the_place_of_the_lost(false)); /* else this would prove nothing */
}

/* A phone that has not got packet LOST of ours: what it makes of the one behind. */
static bool told_again(bool fec)
{
    int16_t samples[MAX_DECODED];
    struct stream phone_at_1;
    start();
    stream_open(&phone_at_1, "opus");
    uint32_t bert = open_with(1, "opus", FRAME_SAMPLES, 101, 8000);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = bert, .remote = remote_at(phone(1), TYPE_OUT, 101)};
    configure.remote.codec = codec_named("opus");
    configure.remote.payload_type_in = TYPE_IN;
    configure.remote.tuning.fec = fec;
    worker_obey(&worker, &configure);
    join(open_endpoint(0, PCMA, 101), bert);
    for (uint16_t i = 0; i < LOST + 2; i++, worker.now += FRAME_NS) {
        uint8_t codes[FRAME_SAMPLES];
        sing(i, samples);
        for (int n = 0; n < FRAME_SAMPLES; n++)
            codes[n] = alaw_encode(samples[n]);
        give(0, PCMA, i, i * 160u, codes, sizeof codes);
    }
    CHECK(sent_count == LOST + 2);
    for (uint32_t i = 0; i <= LOST; i++) {
        const uint8_t *payload = sent[i < LOST ? i : LOST + 1].data + RTP_HEADER;
        size_t length = sent[i < LOST ? i : LOST + 1].length - RTP_HEADER;
        if (i < LOST)
            CHECK(phone_at_1.codec->decode(phone_at_1.decoder, payload, length, samples) == FRAME_SAMPLES);
        else
            CHECK(phone_at_1.codec->conceal(phone_at_1.decoder, payload, length, samples, FRAME_SAMPLES) == FRAME_SAMPLES);
    }
    stream_close(&phone_at_1);
    finish();
    return has_changed(samples);
}

static void test_who_uses_it_is_told_again_what_it_may_have_lost(void)
{
    CHECK(told_again(true));
    CHECK(!told_again(false));
}

int main(void)
{
    test_what_was_lost_is_heard_from_the_packet_behind_it();
    test_who_uses_it_is_told_again_what_it_may_have_lost();
    puts("ok");
    return 0;
}

#else

int main(void)
{
    puts("ok");
    return 0;
}

#endif
