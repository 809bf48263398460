/* Unit tests of far ends that speak G.722 or Opus: what becomes of their audio, their clocks and their keys.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h. A build
 * without one of the libraries leaves out what is about it.
 */
#include "steps.h"

#include <math.h>

#define TONE 440.0
#define TYPE_IN 96  /* payload types of the codec, as ours and as the far end's */
#define TYPE_OUT 111

struct stream {
    const struct codec *codec;
    void *encoder, *decoder;
    uint32_t played; /* samples */
};

static void stream_open(struct stream *stream, const char *name)
{
    const struct codec *codec = codec_named(name);
    *stream = (struct stream){codec, malloc(codec->encoder_size()), malloc(codec->decoder_size()), 0};
    codec->encoder_init(stream->encoder);
    codec->encoder_tune(stream->encoder, 0, true);
    codec->decoder_init(stream->decoder);
}

static void stream_close(struct stream *stream)
{
    free(stream->encoder);
    free(stream->decoder);
}

/* The next packet of a phone that sends a tone. */
static size_t stream_next(struct stream *stream, int count, uint8_t *payload)
{
    int16_t samples[MAX_FRAME];
    for (int i = 0; i < count; i++)
        samples[i] = (int16_t)(8000 * sin(2 * M_PI * TONE * (stream->played + (uint32_t)i) / 8000));
    stream->played += (uint32_t)count;
    return stream->codec->encode(stream->encoder, samples, count, payload);
}

/* How much of a second half (codecs have to settle) is the tone: 1 for all of its power. */
static double tone_share(const int16_t *samples, int count)
{
    double re = 0, im = 0, power = 0;
    for (int i = count / 2; i < count; i++) {
        re += samples[i] * cos(2 * M_PI * TONE * i / 8000);
        im += samples[i] * sin(2 * M_PI * TONE * i / 8000);
        power += (double)samples[i] * samples[i];
    }
    return power < count ? 0 : 2 * (re * re + im * im) / (count - count / 2) / power;
}

static double power(const int16_t *frame)
{
    double sum = 0;
    for (int i = 0; i < FRAME_SAMPLES; i++)
        sum += (double)frame[i] * frame[i];
    return sum;
}

static uint32_t open_with(uint32_t slot, const char *name, uint16_t frame, int event, int event_clock)
{
    uint32_t handle = open_endpoint(slot, PCMA, event);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = handle, .remote = remote_at(phone(slot), TYPE_OUT, event)};
    configure.remote.codec = codec_named(name);
    configure.remote.payload_type_in = TYPE_IN;
    configure.remote.event_scale = (uint8_t)(event_clock / 8000);
    configure.remote.frame = frame;
    CHECK(configure.remote.codec);
    worker_obey(&worker, &configure);
    return handle;
}

/* Packet `number` of the phone at endpoint 0, `count` samples long. */
static void speak(struct stream *stream, uint16_t number, int count)
{
    uint8_t payload[MAX_PAYLOAD];
    size_t length = stream_next(stream, count, payload);
    worker.now += count * SAMPLE_NS;
    give(0, TYPE_IN, number, (uint32_t)number * (uint32_t)count * stream->codec->scale, payload, length);
}

static void check_line(uint32_t first, uint32_t step)
{
    for (uint32_t i = first + 1; i < sent_count; i++) {
        CHECK((uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1);
        CHECK(sent_timestamp(i) - sent_timestamp(i - 1) == step);
    }
}

static void check_the_codec_is_heard_as_g711(const char *name)
{
    static int16_t heard[50 * FRAME_SAMPLES];
    struct stream stream;
    start();
    stream_open(&stream, name);
    join(open_with(0, name, FRAME_SAMPLES, 101, 8000), open_endpoint(1, PCMU, 101));
    for (uint16_t i = 0; i < 50; i++)
        speak(&stream, i, FRAME_SAMPLES);
    CHECK(sent_count == 50);
    check_line(0, FRAME_SAMPLES);
    for (uint32_t i = 0; i < 50; i++) {
        CHECK((sent[i].data[1] & 0x7F) == PCMU && sent[i].length == RTP_HEADER + FRAME_SAMPLES);
        for (int n = 0; n < FRAME_SAMPLES; n++)
            heard[i * FRAME_SAMPLES + (uint32_t)n] = ulaw_linear[sent[i].data[RTP_HEADER + n]];
    }
    CHECK(tone_share(heard, 50 * FRAME_SAMPLES) > 0.95);
    stream_close(&stream);
    finish();
}

/* G.711 in packets of `in` samples, for a phone that wants `out` ones. */
static void check_g711_is_heard_by_the_codec(const char *name, int law, uint32_t in, uint16_t out)
{
    static int16_t heard[9600];
    struct stream stream;
    start();
    stream_open(&stream, name);
    join(open_endpoint(0, law, 101), open_with(1, name, out, 101, 8000));
    for (uint32_t at = 0, number = 0; at + in <= 9600; at += in, number++) {
        uint8_t payload[MAX_FRAME];
        for (uint32_t i = 0; i < in; i++) {
            uint8_t code = alaw_encode((int)(8000 * sin(2 * M_PI * TONE * (at + i) / 8000)));
            payload[i] = law == PCMA ? code : alaw_to_ulaw[code];
        }
        worker.now += in * SAMPLE_NS;
        give(0, (uint8_t)law, (uint16_t)number, at, payload, in);
    }
    CHECK(sent_count == 9600u / out);
    check_line(0, out * stream.codec->scale);
    for (uint32_t i = 0; i < sent_count; i++) {
        CHECK((sent[i].data[1] & 0x7F) == TYPE_OUT);
        int count = stream.codec->decode(stream.decoder, sent[i].data + RTP_HEADER, sent[i].length - RTP_HEADER,
                                         heard + i * out);
        CHECK(count == out);
    }
    CHECK(tone_share(heard, 9600) > 0.9);
    stream_close(&stream);
    finish();
}

static void check_the_codecs_own_packets_pass_untouched(const char *name)
{
    struct stream stream;
    start();
    stream_open(&stream, name);
    join(open_with(0, name, FRAME_SAMPLES, 101, 8000), open_with(1, name, FRAME_SAMPLES, 101, 8000));
    for (uint16_t i = 0; i < 20; i++) {
        uint8_t payload[MAX_PAYLOAD];
        size_t length = stream_next(&stream, FRAME_SAMPLES, payload);
        worker.now += FRAME_NS;
        give(0, TYPE_IN, i, i * (uint32_t)FRAME_SAMPLES * stream.codec->scale, payload, length);
        CHECK(sent_count == i + 1u && sent[i].length == RTP_HEADER + length);
        CHECK(!memcmp(sent[i].data + RTP_HEADER, payload, length) && (sent[i].data[1] & 0x7F) == TYPE_OUT);
    }
    check_line(0, FRAME_SAMPLES * (uint32_t)stream.codec->scale);
    stream_close(&stream);
    finish();
}

static void play(uint32_t endpoint, const struct piece *piece, bool mix)
{
    struct command command = {.type = COMMAND_PLAY, .handle = 1u << 16 | 3};
    command.play.pieces = piece;
    command.play.piece_count = command.play.count = 1;
    command.play.listeners[0] = endpoint;
    command.play.mix = mix;
    worker_obey(&worker, &command);
}

static void check_a_prompt_between_packets_that_pass_keeps_one_line(const char *name, bool mix)
{
    static uint8_t prompt[10 * FRAME_SAMPLES];
    static int16_t heard[40 * FRAME_SAMPLES];
    for (uint32_t i = 0; i < sizeof prompt; i++)
        prompt[i] = alaw_encode((int)(8000 * sin(2 * M_PI * TONE * i / 8000)));
    struct piece piece = {prompt, sizeof prompt};
    struct stream stream;
    start();
    stream_open(&stream, name);
    uint32_t a = open_with(0, name, FRAME_SAMPLES, 101, 8000), b = open_with(1, name, FRAME_SAMPLES, 101, 8000);
    join(a, b);
    for (uint16_t i = 0; i < 30; i++) {
        if (i == 10)
            play(b, &piece, mix);
        speak(&stream, i, FRAME_SAMPLES);
        playback_tick(&worker);
    }
    CHECK(sent_count >= 29 && sent_count <= 31);
    int count = 0;
    for (uint32_t i = 0; i < sent_count; i++) {
        CHECK(i == 0 || (uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1);
        uint32_t step = FRAME_SAMPLES * (uint32_t)stream.codec->scale;
        uint32_t frames = i == 0 ? 1 : (sent_timestamp(i) - sent_timestamp(i - 1)) / step;
        CHECK(frames == 1 || frames == 2); /* 2: the packet that came as the prompt ended */
        CHECK(i == 0 || (sent_timestamp(i) - sent_timestamp(i - 1)) % step == 0);
        CHECK((sent[i].data[1] & 0x7F) == TYPE_OUT);
        count += stream.codec->decode(stream.decoder, sent[i].data + RTP_HEADER, sent[i].length - RTP_HEADER, heard + count);
    }
    /* The same frequency all the time: mixed in phase or against it, but never anything else. */
    CHECK(tone_share(heard + 11 * FRAME_SAMPLES, 8 * FRAME_SAMPLES) > 0.9);
    const struct event *event = ring_peek(&worker.events);
    CHECK(event && event->type == EVENT_PLAYED && event->played.reports[0].completed);
    CHECK(event->played.reports[0].last_timestamp - event->played.reports[0].first_timestamp
          == 9 * FRAME_SAMPLES * (uint32_t)stream.codec->scale);
    stream_close(&stream);
    finish();
}

static const struct recording *record(uint16_t slot, uint32_t left, uint32_t right)
{
    struct command command = {.type = COMMAND_RECORD, .handle = 1u << 16 | slot, .at = worker.now};
    command.record.left = left;
    command.record.right = right;
    command.record.fd = -1;
    command.record.voices = true;
    worker_obey(&worker, &command);
    return &worker.recordings[slot];
}

static void check_a_recorded_call_of_the_codec_passes_and_is_recorded(const char *name)
{
    struct stream stream;
    start();
    stream_open(&stream, name);
    uint32_t a = open_with(0, name, FRAME_SAMPLES, 101, 8000), b = open_with(1, name, FRAME_SAMPLES, 101, 8000);
    join(a, b);
    const struct recording *recording = record(1, a, b);
    for (uint16_t i = 0; i < 50; i++)
        speak(&stream, i, FRAME_SAMPLES);
    static int16_t heard[25 * FRAME_SAMPLES];
    for (int i = 0; i < 25 * FRAME_SAMPLES; i++)
        heard[i] = alaw_linear[recording->layers[VOICE_LEFT][20 * FRAME_SAMPLES + i]];
    CHECK(sent_count == 50 && tone_share(heard, 25 * FRAME_SAMPLES) > 0.95);
    stream_close(&stream);
    finish();
    drain_writer();
}

static void check_tones_of_the_codec_are_digits_where_no_events_were_agreed(const char *name)
{
    struct stream stream;
    start();
    stream_open(&stream, name);
    open_with(0, name, FRAME_SAMPLES, -1, 8000);
    for (uint16_t i = 0; i < 10; i++) {
        int16_t samples[FRAME_SAMPLES];
        for (int n = 0; n < FRAME_SAMPLES; n++) {
            double at = 2 * M_PI * (i * FRAME_SAMPLES + n) / 8000;
            samples[n] = (int16_t)(i < 2 ? 0 : 7000 * (sin(770 * at) + sin(1336 * at)));
        }
        uint8_t payload[MAX_PAYLOAD];
        size_t length = stream.codec->encode(stream.encoder, samples, FRAME_SAMPLES, payload);
        worker.now += FRAME_NS;
        give(0, TYPE_IN, i, i * (uint32_t)FRAME_SAMPLES * stream.codec->scale, payload, length);
    }
    const struct event *event = ring_peek(&worker.events);
    CHECK(event && event->type == EVENT_DIGIT && event->digit == '5');
    ring_pop(&worker.events);
    CHECK(!ring_peek(&worker.events));
    stream_close(&stream);
    finish();
}

static void check_what_is_not_the_codecs_is_dropped_and_counted(const char *name)
{
    struct stream stream;
    start();
    stream_open(&stream, name);
    join(open_with(0, name, FRAME_SAMPLES, 101, 8000), open_endpoint(1, PCMA, 101));
    give_talk(0, 0);                                        /* G.711, which was not agreed on */
    give(0, TYPE_OUT, 1, 0, (const uint8_t *)"ab", 2);  /* their payload type, not ours */
    give(0, TYPE_IN, 2, 0, (const uint8_t *)"", 0);
    CHECK(sent_count == 0 && worker.totals.drops.unusable == 3);
    speak(&stream, 1, FRAME_SAMPLES);
    CHECK(sent_count == 1);
    stream_close(&stream);
    finish();
}

/* One packet of another length leaves half a packet waiting: it goes out as it is, and the next pass again. */
static void check_what_does_not_fit_keeps_nothing_from_passing(const char *name)
{
    struct stream stream;
    uint8_t payload[MAX_PAYLOAD];
    uint32_t scale, at = 0;
    start();
    stream_open(&stream, name);
    scale = stream.codec->scale;
    join(open_with(0, name, FRAME_SAMPLES, 101, 8000), open_with(1, name, FRAME_SAMPLES, 101, 8000));
    for (uint16_t i = 0; i < 10; i++) {
        int count = i == 3 ? FRAME_SAMPLES / 2 : FRAME_SAMPLES;
        size_t length = stream_next(&stream, count, payload);
        worker.now += count * SAMPLE_NS;
        give(0, TYPE_IN, i, at * scale, payload, length);
        at += (uint32_t)count;
        CHECK(i == 3 || !memcmp(sent[sent_count - 1].data + RTP_HEADER, payload, length));
    }
    CHECK(sent_count == 10);
    for (uint32_t i = 1; i < sent_count; i++) {
        CHECK((uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1);
        CHECK(sent_timestamp(i) - sent_timestamp(i - 1) == (i == 4 ? 80 : 160) * scale);
    }
    stream_close(&stream);
    finish();
}

/* RFC 7160 4.1 asks for another SSRC, which not everybody makes: then the clock is another one all the same. */
static void check_another_codec_is_no_jitter_no_loss_and_no_gap(const char *name)
{
    struct stream stream;
    start();
    stream_open(&stream, name);
    uint32_t a = open_endpoint(0, PCMA, 101);
    const struct recording *recording = record(1, a, open_endpoint(1, PCMA, 101));
    for (uint16_t i = 0; i < 40; i++) {
        uint8_t talk[FRAME_SAMPLES] = {0};
        worker.now += FRAME_NS;
        give(0, PCMA, i, 6400u * stream.codec->scale - 160u * (40u - i), talk, sizeof talk); /* goes on with the codec */
    }
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = a, .remote = remote_at(phone(0), TYPE_OUT, 101)};
    configure.remote.codec = stream.codec;
    configure.remote.payload_type_in = TYPE_IN;
    worker_obey(&worker, &configure);
    for (uint16_t i = 40; i < 45; i++)
        speak(&stream, i, FRAME_SAMPLES);
    CHECK(receiver_jitter_ms(&worker.endpoints[0].receiver) < 5);
    CHECK(receiver_lost(&worker.endpoints[0].receiver) == 0 && worker.endpoints[0].receiver.received_all == 45);
    CHECK(recording->layer_until[VOICE_LEFT] == 46 * FRAME_SAMPLES);
    stream_close(&stream);
    finish();
    drain_writer();
}

/* What passes is not decoded: the last packet that was says nothing of how late the next one is. */
static void check_a_recording_begins_behind_any_time_of_passing(const char *name)
{
    struct stream stream;
    uint8_t payload[MAX_PAYLOAD];
    start();
    stream_open(&stream, name);
    uint32_t a = open_with(0, name, FRAME_SAMPLES, 101, 8000), b = open_with(1, name, FRAME_SAMPLES, 101, 8000);
    join(a, b);
    record(1, a, b);
    speak(&stream, 0, FRAME_SAMPLES);
    struct command stop = {.type = COMMAND_CLOSE_RECORDING, .handle = 1u << 16 | 1, .at = worker.now};
    worker_obey(&worker, &stop);
    size_t length = stream_next(&stream, FRAME_SAMPLES, payload);
    uint32_t number = 1;
    for (; number < 65536 - 200; number++) { /* nearly as many as there are numbers */
        worker.now += FRAME_NS;
        give(0, TYPE_IN, (uint16_t)number, number * FRAME_SAMPLES * stream.codec->scale, payload, length);
    }
    const struct recording *recording = record(2, a, b);
    for (; number < 65536 - 190; number++) {
        worker.now += FRAME_NS;
        give(0, TYPE_IN, (uint16_t)number, number * FRAME_SAMPLES * stream.codec->scale, payload, length);
    }
    CHECK(sent_count == number && recording->layer_until[VOICE_LEFT] >= 10 * FRAME_SAMPLES);
    stream_close(&stream);
    finish();
    drain_writer();
}

static void check(const char *name)
{
    check_a_recording_begins_behind_any_time_of_passing(name);
    check_what_does_not_fit_keeps_nothing_from_passing(name);
    check_another_codec_is_no_jitter_no_loss_and_no_gap(name);
    check_the_codec_is_heard_as_g711(name);
    for (uint32_t in = 80; in <= MAX_FRAME; in += 80)
        for (uint16_t out = 80; out <= MAX_FRAME; out = (uint16_t)(out + 80))
            if (9600 % in == 0 && 9600 % out == 0 && codec_named(name)->packet_times >> (out / 80 - 1) & 1)
                check_g711_is_heard_by_the_codec(name, in % 160 ? PCMA : PCMU, in, out);
    check_the_codecs_own_packets_pass_untouched(name);
    check_a_prompt_between_packets_that_pass_keeps_one_line(name, false);
    check_a_prompt_between_packets_that_pass_keeps_one_line(name, true);
    check_a_recorded_call_of_the_codec_passes_and_is_recorded(name);
    check_tones_of_the_codec_are_digits_where_no_events_were_agreed(name);
    check_what_is_not_the_codecs_is_dropped_and_counted(name);
}

#ifdef HAVE_OPUS

static void test_a_short_loss_is_filled_as_if_its_packets_had_come(void)
{
    for (uint16_t lost = 1; lost <= 4; lost++) {
        static int16_t heard[60 * FRAME_SAMPLES];
        struct stream stream;
        start();
        stream_open(&stream, "opus");
        join(open_with(0, "opus", FRAME_SAMPLES, 101, 8000), open_endpoint(1, PCMA, 101));
        uint8_t unheard[MAX_PAYLOAD];
        for (uint16_t i = 0; i < 60; i++) {
            if (i >= 30 && i < 30 + lost)
                stream_next(&stream, FRAME_SAMPLES, unheard), worker.now += FRAME_NS;
            else
                speak(&stream, i, FRAME_SAMPLES);
        }
        CHECK(sent_count == (lost <= 3 ? 60u : 60u - lost));
        for (uint32_t i = 1; i < sent_count; i++)
            CHECK(sent_timestamp(i) - sent_timestamp(i - 1) == 160u * (uint16_t)(sent_sequence(i) - sent_sequence(i - 1)));
        for (uint32_t i = 0; i < sent_count * FRAME_SAMPLES; i++)
            heard[i] = alaw_linear[sent[i / FRAME_SAMPLES].data[RTP_HEADER + i % FRAME_SAMPLES]];
        CHECK(lost > 1 || power(heard + 30 * FRAME_SAMPLES) > power(heard + 29 * FRAME_SAMPLES) / 4);
        CHECK(receiver_lost(&worker.endpoints[0].receiver) == lost); /* made up, not received */
        stream_close(&stream);
        finish();
    }
}

static void test_a_late_packet_is_not_heard_twice(void)
{
    uint8_t late[MAX_PAYLOAD];
    struct stream stream;
    start();
    stream_open(&stream, "opus");
    join(open_with(0, "opus", FRAME_SAMPLES, 101, 8000), open_endpoint(1, PCMA, 101));
    for (uint16_t i = 0; i < 5; i++)
        speak(&stream, i, FRAME_SAMPLES);
    size_t length = stream_next(&stream, FRAME_SAMPLES, late);
    speak(&stream, 6, FRAME_SAMPLES);
    give(0, TYPE_IN, 5, 5 * 960, late, length);
    speak(&stream, 7, FRAME_SAMPLES);
    CHECK(sent_count == 8);
    check_line(0, FRAME_SAMPLES);
    stream_close(&stream);
    finish();
}

/* RFC 6716 3.4: garbage of every kind is told by its first bytes or by the decoder, and the talk goes on. */
static void test_garbage_harms_nothing_and_is_counted(void)
{
    struct stream stream;
    start();
    stream_open(&stream, "opus");
    join(open_with(0, "opus", FRAME_SAMPLES, 101, 8000), open_endpoint(1, PCMA, 101));
    for (uint16_t i = 0; i < 2000; i++) {
        uint8_t payload[64];
        size_t length = chance(sizeof payload);
        for (size_t n = 0; n < length; n++)
            payload[n] = (uint8_t)chance(256);
        worker.now += FRAME_NS;
        give(0, TYPE_IN, i, 960u * i, payload, length);
    }
    uint64_t unusable = worker.totals.drops.unusable;
    CHECK(unusable > 100 && unusable == worker.endpoints[0].drops.unusable && unusable < 2000);
    for (uint16_t i = 2000; i < 2010; i++)
        speak(&stream, i, FRAME_SAMPLES);
    CHECK(worker.totals.drops.unusable == unusable && sent_count > 10);
    stream_close(&stream);
    finish();
}

static void test_packets_of_every_length_become_those_that_are_asked_for(void)
{
    static const int lengths[] = {20, 40, 80, 160, 320, 480};
    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
        struct stream stream;
        start();
        stream_open(&stream, "opus");
        join(open_with(0, "opus", FRAME_SAMPLES, 101, 8000), open_endpoint(1, PCMA, 101));
        uint16_t count = (uint16_t)(9600 / lengths[n]);
        for (uint16_t i = 0; i < count; i++)
            speak(&stream, i, lengths[n]);
        CHECK(sent_count == 60);
        check_line(0, FRAME_SAMPLES);
        stream_close(&stream);
        finish();
    }
}

/* What is too short for a packet is filled up with silence, and the line goes on where the audio did. */
static void test_what_is_left_of_a_packet_goes_out_in_one_that_opus_has(void)
{
    struct stream stream;
    uint8_t talk[240];
    memset(talk, 0x55, sizeof talk);
    start();
    stream_open(&stream, "opus");
    join(open_endpoint(0, PCMA, 101), open_with(1, "opus", FRAME_SAMPLES, 101, 8000));
    give(0, PCMA, 1, 240, talk, sizeof talk);
    worker.now += SECOND_NS;
    endpoint_sweep(&worker, &worker.endpoints[1]);
    int16_t heard[MAX_DECODED];
    CHECK(sent_count >= 2 && sent_timestamp(1) - sent_timestamp(0) == 960);
    CHECK(stream.codec->decode(stream.decoder, sent[1].data + RTP_HEADER, sent[1].length - RTP_HEADER, heard) == 80);
    stream_close(&stream);
    finish();
}

static void test_the_clock_of_48_khz_wraps_without_a_jump(void)
{
    struct stream stream;
    start();
    stream_open(&stream, "opus");
    join(open_with(0, "opus", FRAME_SAMPLES, 101, 8000), open_endpoint(1, PCMA, 101));
    for (uint16_t i = 0; i < 20; i++) {
        uint8_t payload[MAX_PAYLOAD];
        size_t length = stream_next(&stream, FRAME_SAMPLES, payload);
        worker.now += FRAME_NS;
        give(0, TYPE_IN, i, 0u - 9600 + 960u * i, payload, length);
    }
    CHECK(sent_count == 20);
    check_line(0, FRAME_SAMPLES);
    stream_close(&stream);
    finish();
}

static void give_event(uint16_t sequence, uint32_t timestamp, uint16_t duration, bool end)
{
    uint8_t payload[] = {5, (uint8_t)(end ? 0x8A : 0x0A), (uint8_t)(duration >> 8), (uint8_t)duration};
    worker.now += FRAME_NS;
    telephone_event_tick(&worker);
    give(0, 101, sequence, timestamp, payload, sizeof payload);
}

static void run_ticks(int count)
{
    for (; count > 0; count--) {
        worker.now += FRAME_NS;
        telephone_event_tick(&worker);
    }
}

/* RFC 4733 2.1 and 2.3.5: durations count in the clock of the stream. */
static void test_a_key_is_told_in_the_clock_of_either_side(void)
{
    start();
    uint32_t a = open_with(0, "opus", FRAME_SAMPLES, 101, 48000), b = open_endpoint(1, PCMA, 102);
    join(a, b);
    for (uint16_t i = 1; i <= 4; i++)
        give_event(i, 48000, (uint16_t)(960 * i), i == 4);
    run_ticks(4);
    CHECK(sent_count >= 3 && (sent[0].data[1] & 0x7F) == 102);
    CHECK(read16(sent[sent_count - 1].data + RTP_HEADER + 2) == 640 && sent[sent_count - 1].data[RTP_HEADER + 1] & 0x80);
    CHECK(count_events(EVENT_DIGIT) == 1);
    finish();
    start();
    a = open_endpoint(0, PCMA, 101), b = open_with(1, "opus", FRAME_SAMPLES, 101, 48000);
    join(a, b);
    for (uint16_t i = 1; i <= 4; i++)
        give_event(i, 8000, (uint16_t)(160 * i), i == 4);
    run_ticks(4);
    CHECK(sent_count >= 3 && read16(sent[sent_count - 1].data + RTP_HEADER + 2) == 3840);
    for (uint32_t i = 1; i < sent_count; i++)
        CHECK(sent_timestamp(i) == sent_timestamp(0));
    finish();
}

static void test_a_key_between_two_of_48_khz_passes_as_it_came(void)
{
    start();
    join(open_with(0, "opus", FRAME_SAMPLES, 101, 48000), open_with(1, "opus", FRAME_SAMPLES, 101, 48000));
    for (uint16_t i = 1; i <= 4; i++) {
        give_event(i, 48000, (uint16_t)(960 * i), i == 4);
        CHECK(sent_count == i && read16(sent[i - 1].data + RTP_HEADER + 2) == 960 * i);
        CHECK(sent_timestamp(i - 1) == sent_timestamp(0));
    }
    finish();
}

/* 2.5.1.3: 65535 units are 8 s at 8 kHz and 1.4 s at 48 kHz. */
static void test_a_long_press_has_segments_as_each_clock_needs_them(void)
{
    start();
    join(open_endpoint(0, PCMA, 101), open_with(1, "opus", FRAME_SAMPLES, 101, 48000));
    for (uint16_t i = 1; i <= 100; i++)
        give_event(i, 8000, (uint16_t)(160 * i), i == 100);
    run_ticks(4);
    const uint8_t *last = sent[sent_count - 1].data;
    CHECK(sent_timestamp(sent_count - 1) - sent_timestamp(0) == 10922 * 6);
    CHECK(read16(last + RTP_HEADER + 2) == (16000 - 10922) * 6);
    CHECK(count_events(EVENT_DIGIT) == 1);
    finish();
    start();
    join(open_with(0, "opus", FRAME_SAMPLES, 101, 48000), open_endpoint(1, PCMA, 102));
    uint32_t began = 48000, duration = 0;
    for (uint16_t i = 1; i <= 100; i++) {
        duration += 960;
        if (duration > 0xFFFF) {
            began += 0xFFFF;
            duration -= 0xFFFF;
        }
        give_event(i, began, (uint16_t)duration, i == 100);
    }
    run_ticks(4);
    last = sent[sent_count - 1].data;
    CHECK(sent_timestamp(sent_count - 1) == sent_timestamp(0));
    int told = read16(last + RTP_HEADER + 2);
    CHECK(told >= 15998 && told <= 16000 && count_events(EVENT_DIGIT) == 1);
    finish();
}

/* RFC 7160 4.1. */
static void test_another_clock_is_another_source(void)
{
    struct stream stream;
    start();
    stream_open(&stream, "opus");
    uint32_t a = open_with(0, "opus", FRAME_SAMPLES, 101, 8000), b = open_endpoint(1, PCMA, 101);
    join(a, b);
    for (uint16_t i = 0; i < 3; i++)
        speak(&stream, i, FRAME_SAMPLES);
    CHECK(read32(sent[2].data + 8) == 101);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = b, .remote = remote_at(phone(1), TYPE_OUT, 101)};
    configure.remote.codec = codec_named("opus");
    configure.remote.payload_type_in = TYPE_IN;
    worker_obey(&worker, &configure);
    speak(&stream, 3, FRAME_SAMPLES);
    CHECK(read32(sent[3].data + 8) != 101 && (sent[3].data[1] & 0x7F) == TYPE_OUT);
    uint32_t renamed = read32(sent[3].data + 8);
    worker_obey(&worker, &configure); /* a re-INVITE that changes nothing */
    speak(&stream, 4, FRAME_SAMPLES);
    CHECK(read32(sent[4].data + 8) == renamed && sent_timestamp(4) - sent_timestamp(3) == 960);
    stream_close(&stream);
    finish();
}

/* RFC 3550 6.4.1: timestamps and jitter of reports are in the units of the stream they are about. */
static void test_reports_count_in_the_far_ends_clock(void)
{
    struct stream stream;
    start();
    stream_open(&stream, "opus");
    join(open_with(0, "opus", FRAME_SAMPLES, 101, 8000), open_with(1, "opus", FRAME_SAMPLES, 101, 8000));
    for (uint16_t i = 0; i < 50; i++) {
        worker.now += i % 2 ? 10000000 : -10000000; /* 10 ms early, 10 ms late */
        speak(&stream, i, FRAME_SAMPLES);
    }
    rtcp_report(&worker, &worker.endpoints[0]);
    double jitter = read32(sent[sent_count - 1].data + 8 + 12) / 48.0;
    CHECK(sent[sent_count - 1].rtcp && jitter > 5 && jitter < 20);
    CHECK(receiver_jitter_ms(&worker.endpoints[0].receiver) > 5 && receiver_jitter_ms(&worker.endpoints[0].receiver) < 20);
    uint32_t last = sent_timestamp(49);
    rtcp_report(&worker, &worker.endpoints[1]);
    CHECK(sent[sent_count - 1].data[1] == 200 && read32(sent[sent_count - 1].data + 16) - last < 960);
    stream_close(&stream);
    finish();
}

static void test_a_far_end_that_takes_less_is_sent_less(void)
{
    size_t length[2] = {0, 0};
    for (int low = 0; low < 2; low++) {
        start();
        uint32_t b = open_with(1, "opus", FRAME_SAMPLES, 101, 8000);
        join(open_endpoint(0, PCMA, 101), b);
        struct command configure = {.type = COMMAND_CONFIGURE, .handle = b, .remote = remote_at(phone(1), TYPE_OUT, 101)};
        configure.remote.codec = codec_named("opus");
        configure.remote.bitrate = low ? 6000 : 64000;
        worker_obey(&worker, &configure);
        for (uint16_t i = 0; i < 50; i++) {
            uint8_t noise[FRAME_SAMPLES];
            for (int n = 0; n < FRAME_SAMPLES; n++)
                noise[n] = (uint8_t)chance(256);
            worker.now += FRAME_NS;
            give(0, PCMA, i, 160u * i, noise, sizeof noise);
            length[low] += sent[sent_count - 1].length - RTP_HEADER;
        }
        finish();
    }
    CHECK(length[1] < length[0] / 2 && length[0] < 16000 / 8 * 3 / 2);
}

#endif

int main(void)
{
    for (int i = 0; codec_name(i); i++)
        check(codec_name(i));
    CHECK(!codec_named("G729"));
#ifdef HAVE_OPUS
    test_a_short_loss_is_filled_as_if_its_packets_had_come();
    test_a_late_packet_is_not_heard_twice();
    test_garbage_harms_nothing_and_is_counted();
    test_packets_of_every_length_become_those_that_are_asked_for();
    test_what_is_left_of_a_packet_goes_out_in_one_that_opus_has();
    test_the_clock_of_48_khz_wraps_without_a_jump();
    test_a_key_is_told_in_the_clock_of_either_side();
    test_a_key_between_two_of_48_khz_passes_as_it_came();
    test_a_long_press_has_segments_as_each_clock_needs_them();
    test_another_clock_is_another_source();
    test_reports_count_in_the_far_ends_clock();
    test_a_far_end_that_takes_less_is_sent_less();
#endif
    puts("ok");
    return 0;
}
