/* Unit tests of what only Opus has: packets of many lengths, losses it fills, a clock of 48 kHz with its keys and reports.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h and coded.h. A
 * build without libopus has nothing to test.
 */
#include "steps.h"
#include "coded.h"

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

static void offer_both_clocks(uint32_t handle, uint32_t slot, int first_clock)
{
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = handle, .remote = remote_at(phone(slot), TYPE_OUT, 101)};
    configure.remote.codec = codec_named("opus");
    configure.remote.payload_type_in = TYPE_IN;
    configure.remote.event_scale = (uint8_t)(first_clock / 8000);
    configure.remote.event_other = 102;
    worker_obey(&worker, &configure);
}

/* RFC 3264 5.1: of what was offered anything may come, one key in this clock and the next in that. */
static void test_keys_are_understood_in_either_clock_that_was_offered(void)
{
    for (int first = 8000; first <= 48000; first += 40000) {
        uint16_t unit = first == 8000 ? 960 : 160; /* of the other */
        start();
        uint32_t a = open_with(0, "opus", FRAME_SAMPLES, 101, first), b = open_endpoint(1, PCMA, 101);
        offer_both_clocks(a, 0, first);
        join(a, b);
        for (uint16_t i = 1; i <= 4; i++) {
            uint8_t payload[4] = {5, i == 4 ? 0x8A : 0x0A};
            write16(payload + 2, (uint16_t)(unit * i));
            worker.now += FRAME_NS;
            give(0, 102, i, 48000, payload, sizeof payload);
        }
        run_ticks(4);
        CHECK(sent_count >= 3 && read16(sent[sent_count - 1].data + RTP_HEADER + 2) == 640);
        CHECK((sent[0].data[1] & 0x7F) == 101 && sent[sent_count - 1].data[RTP_HEADER + 1] & 0x80);
        uint32_t before = sent_count;
        give_event(20, 96000, (uint16_t)(first / 50), false);
        give_event(21, 96000, (uint16_t)(first / 25), true);
        run_ticks(4);
        CHECK(sent_count > before && read16(sent[sent_count - 1].data + RTP_HEADER + 2) == 320);
        CHECK(count_events(EVENT_DIGIT) == 2 && worker.endpoints[0].drops.unusable == 0);
        finish();
    }
}

/* The same number can't mean that where it was not offered. */
static void test_no_other_payload_type_is_a_key(void)
{
    uint8_t payload[4] = {5, 0x8A, 0, 160};
    start();
    open_with(0, "opus", FRAME_SAMPLES, 101, 8000);
    give(0, 102, 1, 48000, payload, sizeof payload);
    give(0, 0, 2, 48000, payload, sizeof payload);
    CHECK(count_events(EVENT_DIGIT) == 0 && worker.endpoints[0].drops.unusable == 2);
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

/* RFC 3264 8.3.2 forbids it; who does so all the same is taken at its last word, and what is still on the way harms nothing. */
static void test_payload_types_that_change_places_mean_what_was_said_last(void)
{
    struct stream stream;
    uint8_t key[4] = {5, 0x8A, 0x03, 0xC0}, payload[MAX_PAYLOAD];
    start();
    stream_open(&stream, "opus");
    uint32_t a = open_with(0, "opus", FRAME_SAMPLES, 101, 48000);
    join(a, open_endpoint(1, PCMA, 101));
    speak(&stream, 1, FRAME_SAMPLES);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = a, .remote = remote_at(phone(0), 101, TYPE_IN)};
    configure.remote.codec = codec_named("opus");
    configure.remote.event_scale = 6;
    worker_obey(&worker, &configure);
    give(0, 101, 2, 1920, key, sizeof key); /* of before */
    worker.now += FRAME_NS;
    size_t length = stream_next(&stream, FRAME_SAMPLES, payload);
    uint32_t before = sent_count;
    give(0, 101, 3, 2880, payload, length);
    CHECK(sent_count > before && (sent[before].data[1] & 0x7F) == PCMA && count_events(EVENT_DIGIT) == 0);
    give(0, TYPE_IN, 4, 3840, key, sizeof key);
    CHECK(count_events(EVENT_DIGIT) == 1);
    stream_close(&stream);
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
    const uint8_t *goodbye = sent[3].data + sent[3].length - 8; /* RFC 3550 6.6: who was left says so, in its own clock */
    CHECK(sent[3].rtcp && goodbye[1] == 203 && read32(goodbye + 4) == 101 && read32(sent[3].data + 4) == 101);
    CHECK(read32(sent[3].data + 16) - sent_timestamp(2) < 480);
    speak(&stream, 3, FRAME_SAMPLES);
    CHECK(read32(sent[4].data + 8) != 101 && (sent[4].data[1] & 0x7F) == TYPE_OUT);
    uint32_t renamed = read32(sent[4].data + 8);
    worker_obey(&worker, &configure); /* a re-INVITE that changes nothing */
    speak(&stream, 4, FRAME_SAMPLES);
    CHECK(sent_count == 6 && read32(sent[5].data + 8) == renamed && sent_timestamp(5) - sent_timestamp(4) == 960);
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

/* RFC 6716 3.2.5: a packet may hold 120 ms, and is as much work as six of 20 ms. */
static void test_a_far_end_is_decoded_no_faster_for_its_long_packets(void)
{
    static const uint8_t longest[] = {0x0B, 6}; /* six frames of 20 ms, of no sound */
    start();
    open_with(0, "opus", FRAME_SAMPLES, -1, 8000);
    for (uint16_t i = 0; i < 900; i++)
        give(0, TYPE_IN, i, 5760u * i, longest, sizeof longest);
    const struct endpoint *endpoint = &worker.endpoints[0];
    CHECK(endpoint->receiver.received_all == 42 && endpoint->drops.excess == 900 - 42); /* of six each */
    for (uint16_t i = 900; i < 1000; i++, worker.now += 6 * FRAME_NS)
        give(0, TYPE_IN, i, 5760u * i, longest, sizeof longest);
    CHECK(endpoint->receiver.received_all == 42 + 99 && endpoint->drops.unusable == 0);
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
        configure.remote.tuning.bitrate = low ? 6000 : 64000;
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

/* RFC 7587 6.1: cbr and usedtx are what the receiver would like. */
static void test_a_far_end_is_sent_packets_as_it_likes_them(void)
{
    for (int how = 0; how < 3; how++) {
        start();
        uint32_t b = open_with(1, "opus", FRAME_SAMPLES, 101, 8000);
        join(open_endpoint(0, PCMA, 101), b);
        struct command configure = {.type = COMMAND_CONFIGURE, .handle = b, .remote = remote_at(phone(1), TYPE_OUT, 101)};
        configure.remote.codec = codec_named("opus");
        configure.remote.tuning = (struct tuning){.cbr = how == 1, .dtx = how == 2};
        worker_obey(&worker, &configure);
        size_t least = MAX_PACKET, most = 0, tiny = 0;
        for (uint16_t i = 0; i < 150; i++) {
            uint8_t sound[FRAME_SAMPLES];
            for (int n = 0; n < FRAME_SAMPLES; n++)
                sound[n] = i < 50 ? (uint8_t)chance(256) : 0xD5;
            worker.now += FRAME_NS;
            give(0, PCMA, i, 160u * i, sound, sizeof sound);
            size_t length = sent[sent_count - 1].length - RTP_HEADER;
            least = length < least ? length : least;
            most = length > most ? length : most;
            tiny += length <= 2;
        }
        CHECK(sent_count == 150);
        check_line(0, 960);
        CHECK(how == 1 ? least == most : least < most);
        CHECK(how == 2 ? tiny > 50 : tiny == 0);
        finish();
    }
}

#endif

int main(void)
{
#ifdef HAVE_OPUS
    test_a_short_loss_is_filled_as_if_its_packets_had_come();
    test_a_late_packet_is_not_heard_twice();
    test_garbage_harms_nothing_and_is_counted();
    test_packets_of_every_length_become_those_that_are_asked_for();
    test_what_is_left_of_a_packet_goes_out_in_one_that_opus_has();
    test_the_clock_of_48_khz_wraps_without_a_jump();
    test_a_key_is_told_in_the_clock_of_either_side();
    test_a_key_between_two_of_48_khz_passes_as_it_came();
    test_keys_are_understood_in_either_clock_that_was_offered();
    test_no_other_payload_type_is_a_key();
    test_a_long_press_has_segments_as_each_clock_needs_them();
    test_payload_types_that_change_places_mean_what_was_said_last();
    test_another_clock_is_another_source();
    test_reports_count_in_the_far_ends_clock();
    test_a_far_end_is_decoded_no_faster_for_its_long_packets();
    test_a_far_end_that_takes_less_is_sent_less();
    test_a_far_end_is_sent_packets_as_it_likes_them();
#endif
    puts("ok");
    return 0;
}
