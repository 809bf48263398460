/* Unit tests of far ends that speak G.722 or Opus: what becomes of their audio.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h and coded.h. A build
 * without one of the libraries leaves out what is about it.
 */
#include "steps.h"
#include "coded.h"

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

/* 20 ms of the key 5. */
static size_t key_next(struct stream *stream, uint16_t index, uint8_t *payload)
{
    int16_t samples[FRAME_SAMPLES];
    for (int n = 0; n < FRAME_SAMPLES; n++) {
        double at = 2 * M_PI * (index * FRAME_SAMPLES + n) / 8000;
        samples[n] = (int16_t)(7000 * (sin(770 * at) + sin(1336 * at)));
    }
    return stream->codec->encode(stream->encoder, samples, FRAME_SAMPLES, payload);
}

static void check_tones_of_the_codec_are_digits_where_no_events_were_agreed(const char *name)
{
    struct stream stream;
    start();
    stream_open(&stream, name);
    open_with(0, name, FRAME_SAMPLES, -1, 8000);
    for (uint16_t i = 0; i < 10; i++) {
        uint8_t payload[MAX_PAYLOAD];
        size_t length = i < 2 ? stream_next(&stream, FRAME_SAMPLES, payload) : key_next(&stream, i, payload);
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

/* Where packets would pass as they came. */
static void check_the_tone_of_a_key_from_before_the_two_were_connected_does_not_pass(const char *name)
{
    struct stream stream;
    uint8_t payload[MAX_PAYLOAD];
    start();
    stream_open(&stream, name);
    uint32_t a = open_with(0, name, FRAME_SAMPLES, -1, 8000), b = open_with(1, name, FRAME_SAMPLES, 101, 8000);
    for (uint16_t i = 0; i < 40; i++) {
        if (i == 8)
            join(a, b);
        bool sounds = i >= 2 && i < 20;
        size_t length = sounds ? key_next(&stream, i, payload) : stream_next(&stream, FRAME_SAMPLES, payload);
        worker.now += FRAME_NS;
        give(0, TYPE_IN, i, i * (uint32_t)FRAME_SAMPLES * stream.codec->scale, payload, length);
        CHECK(i >= 20 || sent_count == 0);
    }
    CHECK(count_events(EVENT_DIGIT) == 1 && sent_count >= 16 && sent_count < 20);
    for (uint32_t i = 1; i < sent_count; i++)
        CHECK((uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1);
    uint32_t before = sent_count;
    for (uint16_t i = 40; i < 50; i++) { /* keyed in talk it passes as it came, and is told */
        size_t length = key_next(&stream, i, payload);
        worker.now += FRAME_NS;
        give(0, TYPE_IN, i, i * (uint32_t)FRAME_SAMPLES * stream.codec->scale, payload, length);
        CHECK(!memcmp(sent[sent_count - 1].data + RTP_HEADER, payload, length));
    }
    CHECK(count_events(EVENT_DIGIT) == 1 && sent_count == before + 10);
    stream_close(&stream);
    finish();
}

/* Both speak it, but one wants longer packets. */
static void check_the_codecs_own_packets_are_made_anew_where_they_are_too_short(const char *name)
{
    static int16_t heard[60 * FRAME_SAMPLES];
    struct stream stream;
    int count = 0;
    start();
    stream_open(&stream, name);
    join(open_with(0, name, FRAME_SAMPLES, 101, 8000), open_with(1, name, 2 * FRAME_SAMPLES, 101, 8000));
    for (uint16_t i = 0; i < 50; i++)
        speak(&stream, i, FRAME_SAMPLES);
    CHECK(sent_count == 25);
    check_line(0, 2 * FRAME_SAMPLES * (uint32_t)stream.codec->scale);
    for (uint32_t i = 0; i < sent_count; i++)
        count += stream.codec->decode(stream.decoder, sent[i].data + RTP_HEADER, sent[i].length - RTP_HEADER, heard + count);
    CHECK(count == 50 * FRAME_SAMPLES && tone_share(heard, count) > 0.9);
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
    check_the_codecs_own_packets_are_made_anew_where_they_are_too_short(name);
    check_a_prompt_between_packets_that_pass_keeps_one_line(name, false);
    check_a_prompt_between_packets_that_pass_keeps_one_line(name, true);
    check_a_recorded_call_of_the_codec_passes_and_is_recorded(name);
    check_tones_of_the_codec_are_digits_where_no_events_were_agreed(name);
    check_the_tone_of_a_key_from_before_the_two_were_connected_does_not_pass(name);
    check_what_is_not_the_codecs_is_dropped_and_counted(name);
}

int main(void)
{
    for (int i = 0; codec_name(i); i++)
        check(codec_name(i));
    CHECK(!codec_named("G729"));
    puts("ok");
    return 0;
}
