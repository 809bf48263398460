/* Unit tests of packets of another length than came, and of everything else a relayed line must survive.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h.
 */
#include "steps.h"

#define STREAM 4800 /* samples: 600 ms, whole packets of every length */

static uint8_t stream[STREAM], heard[2 * STREAM];
static uint32_t caller, callee;

/* Endpoint 0 talks to endpoint 1, whose phone wants packets of `frame` samples. */
static void start_talk(int payload_type, uint16_t frame)
{
    start();
    for (uint32_t i = 0; i < STREAM; i++)
        stream[i] = (uint8_t)chance(256);
    join(caller = open_endpoint(0, PCMA, 101), callee = open_endpoint(1, payload_type, 101));
    struct command command = {.type = COMMAND_CONFIGURE, .handle = callee, .remote = remote_at(phone(1), payload_type, 101)};
    command.remote.frame = frame;
    worker_obey(&worker, &command);
}

static void talk(uint32_t number, uint32_t samples)
{
    uint32_t at = number * samples % STREAM;
    worker.now = 2 * SECOND_NS + (int64_t)number * samples * SAMPLE_NS;
    give(0, PCMA, (uint16_t)(65530 + number), number * samples, stream + at, samples);
}

static size_t payload_length(uint32_t index)
{
    return sent[index].length - RTP_HEADER;
}

/* Every packet stands behind the one before, by number and by time; what was heard from `first` on, in `heard`. */
static size_t collect(uint32_t first)
{
    size_t length = 0;
    for (uint32_t i = first; i < sent_count; i++) {
        CHECK(read32(sent[i].data + 8) == 101);
        if (i > first) {
            CHECK((uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1);
            CHECK(sent_timestamp(i) - sent_timestamp(i - 1) == payload_length(i - 1));
        }
        memcpy(heard + length, sent[i].data + RTP_HEADER, payload_length(i));
        length += payload_length(i);
    }
    return length;
}

static void test_every_packet_length_becomes_every_other(void)
{
    for (uint32_t in = 80; in <= MAX_FRAME; in += 80) {
        for (uint32_t out = 80; out <= MAX_FRAME; out += 80) {
            start_talk(PCMA, (uint16_t)out);
            for (uint32_t i = 0; i < STREAM / in; i++)
                talk(i, in);
            CHECK(sent_count == STREAM / out && collect(0) == STREAM && !memcmp(heard, stream, STREAM));
            CHECK(payload_length(0) == out && sent[0].data[1] == (0x80 | PCMA));
            finish();
        }
    }
}

static void test_both_law_and_length_are_converted(void)
{
    start_talk(PCMU, 240);
    for (uint32_t i = 0; i < STREAM / 160; i++)
        talk(i, 160);
    CHECK(sent_count == STREAM / 240 && collect(0) == STREAM && sent[0].data[1] == (0x80 | PCMU));
    for (uint32_t i = 0; i < STREAM; i++)
        CHECK(heard[i] == alaw_to_ulaw[stream[i]]);
    finish();
}

/* 20 ms packets into 60 ms ones: the loss of one keeps its number and its time free. */
static void test_loss_stays_visible_and_moves_nothing(void)
{
    start_talk(PCMA, 480);
    for (uint32_t i = 0; i < 30; i++)
        if (i != 13)
            talk(i, 160);
    uint32_t gap = 0;
    size_t samples = 0;
    for (uint32_t i = 1; i < sent_count; i++) {
        uint16_t step = (uint16_t)(sent_sequence(i) - sent_sequence(i - 1));
        uint32_t passed = sent_timestamp(i) - sent_timestamp(i - 1);
        CHECK(step == 1 || (step == 2 && passed == payload_length(i - 1) + 160 && !gap++));
        CHECK(step == 2 || passed == payload_length(i - 1));
    }
    for (uint32_t i = 0; i < sent_count; i++)
        samples += payload_length(i);
    CHECK(gap == 1 && samples == 28 * 160); /* the last one waits for two more */
    finish();
}

/* RFC 3550 A.1: late is not lost. A second time it is, and so is what is too old. */
static void test_a_late_packet_goes_out_under_the_number_that_was_kept(void)
{
    start_talk(PCMA, 320);
    for (uint32_t i = 0; i < 10; i++)
        talk(i == 4 ? 5 : i == 5 ? 4 : i, 160);
    uint32_t before = sent_count;
    talk(4, 160);
    talk(1, 160);
    CHECK(sent_count == before);
    bool seen = false;
    for (uint32_t i = 0; i < sent_count; i++) {
        if (memcmp(sent[i].data + RTP_HEADER, stream + 4 * 160, 160))
            continue;
        seen = true;
        CHECK(payload_length(i) == 160 && (uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1);
        CHECK(sent_timestamp(i) - sent_timestamp(0) == 4 * 160);
    }
    CHECK(seen);
    finish();
}

/* RFC 3389 and DTX: a pause is in the timestamps only, and the talk behind it begins a packet of its own. */
static void test_a_pause_sends_what_waits_and_loses_no_number(void)
{
    start_talk(PCMA, 480);
    talk(0, 160);
    uint8_t noise[2] = {60, 10};
    worker.now += FRAME_NS;
    give(0, COMFORT_NOISE, 65531, 160, noise, sizeof noise);
    for (uint32_t i = 0; i < 3; i++) {
        worker.now += FRAME_NS;
        give(0, PCMA, (uint16_t)(65532 + i), 8000 + 160 * i, stream, 160);
    }
    CHECK(sent_count == 2 && payload_length(0) == 160 && payload_length(1) == 480);
    CHECK((uint16_t)(sent_sequence(1) - sent_sequence(0)) == 1 && sent_timestamp(1) - sent_timestamp(0) == 8000);
    finish();
}

static void test_what_nothing_follows_is_sent_after_a_moment(void)
{
    start_talk(PCMA, 480);
    talk(0, 160);
    CHECK(sent_count == 0);
    worker.now += SECOND_NS / 5;
    endpoint_sweep(&worker, &worker.endpoints[1]);
    CHECK(sent_count == 1 && payload_length(0) == 160);
    finish();
}

static void test_a_key_press_is_not_held_up_by_talk_that_waits(void)
{
    start_talk(PCMA, 480);
    uint8_t event[4] = {5, 10, 0, 160};
    talk(0, 160);
    give(0, 101, 65531, 160, event, sizeof event);
    telephone_event_tick(&worker);
    CHECK(sent_count == 2 && payload_length(0) == 160 && payload_length(1) == 4 && (sent[1].data[1] & 0x7F) == 101);
    CHECK((uint16_t)(sent_sequence(1) - sent_sequence(0)) == 1 && sent_timestamp(1) - sent_timestamp(0) == 160);
    finish();
}

static void test_a_new_agreement_sends_what_waits_as_it_was_agreed_before(void)
{
    start_talk(PCMA, 480);
    talk(0, 160);
    talk(1, 160);
    struct command command = {.type = COMMAND_CONFIGURE, .handle = callee, .remote = remote_at(phone(1), PCMU, 101)};
    command.remote.frame = 80;
    worker_obey(&worker, &command);
    talk(2, 160);
    CHECK(sent_count == 3 && payload_length(0) == 320 && sent[0].data[1] == (0x80 | PCMA));
    CHECK(payload_length(2) == 80 && sent[2].data[1] == PCMU && collect(0) == 480);
    finish();
}

/* Prompt, talk and prompt again at 30 ms: one line, and the report names the prompt's own time. */
static void test_prompts_come_in_the_length_that_is_asked_for(void)
{
    start_talk(PCMA, 240);
    static uint8_t samples[1600];
    static const struct piece piece = {samples, sizeof samples};
    memcpy(samples, stream, sizeof samples);
    struct command play = {.type = COMMAND_PLAY, .handle = 1 << 16};
    play.play.pieces = &piece;
    play.play.piece_count = 1;
    play.play.count = 1;
    play.play.listeners[0] = callee;
    worker_obey(&worker, &play);
    for (int tick = 0; tick < 150; tick++, worker.now += TICK_NS)
        playback_tick(&worker);
    const struct event *event = ring_peek(&worker.events);
    CHECK(event && event->type == EVENT_PLAYED && event->played.reports[0].frames == 10);
    CHECK(event->played.reports[0].first_timestamp == sent_timestamp(0));
    CHECK(event->played.reports[0].last_timestamp == sent_timestamp(0) + 9 * 160);
    worker.now += SECOND_NS;
    endpoint_sweep(&worker, &worker.endpoints[1]);
    CHECK(sent_count == 7 && collect(0) == 1600 && !memcmp(heard, samples, 1600));
    finish();
}

/* Any mixture of lengths, losses and orders: no number is used twice, and nothing is made up. */
static void test_random_packets_never_break_the_line(void)
{
    for (uint32_t round = 0; round < 200; round++) {
        start_talk(chance(2) ? PCMA : PCMU, (uint16_t)(80 * (1 + chance(6))));
        uint64_t given = 0, got = 0;
        bool in[65536] = {false}, out[65536] = {false};
        uint32_t at = chance(1u << 31);
        for (uint32_t i = 0; i < 400; i++) {
            uint32_t length = chance(8) ? 160 : 80 * chance(7), kept = i + (chance(10) ? 0 : chance(4));
            worker.now += FRAME_NS;
            if (in[kept])
                continue;
            in[kept] = true;
            give(0, PCMA, (uint16_t)(65400 + kept), at, stream, length);
            given += length;
            at += length + (chance(30) ? 0 : chance(4000));
            if (!chance(50))
                endpoint_sweep(&worker, &worker.endpoints[1]);
        }
        for (uint32_t i = 0; i < sent_count; i++) {
            if (sent[i].rtcp)
                continue;
            CHECK(payload_length(i) <= MAX_FRAME && !out[sent_sequence(i)]);
            out[sent_sequence(i)] = true;
            got += payload_length(i);
        }
        CHECK(got <= given);
        finish();
    }
}

int main(void)
{
    test_every_packet_length_becomes_every_other();
    test_both_law_and_length_are_converted();
    test_loss_stays_visible_and_moves_nothing();
    test_a_late_packet_goes_out_under_the_number_that_was_kept();
    test_a_pause_sends_what_waits_and_loses_no_number();
    test_what_nothing_follows_is_sent_after_a_moment();
    test_a_key_press_is_not_held_up_by_talk_that_waits();
    test_a_new_agreement_sends_what_waits_as_it_was_agreed_before();
    test_prompts_come_in_the_length_that_is_asked_for();
    test_random_packets_never_break_the_line();
    puts("ok");
    return 0;
}
